//! Just enough understanding of Rust text: what is code, what is a comment, what is a string, and
//! what is there for tests only.

/// A Rust file taken apart.
#[derive(Debug)]
pub(super) struct Source {
    /// The lines with comments and the insides of literals blanked out.
    pub(super) code: Vec<String>,
    /// Every string literal that is not in a comment.
    pub(super) strings: Vec<Literal>,
    /// For each line, whether it belongs to an item under `#[cfg(test)]`.
    test: Vec<bool>,
}

/// A string literal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// Line, from 0.
    pub(super) line: usize,
    /// Byte in the line's code where its quote is.
    pub(super) column: usize,
    /// What is between the quotes.
    pub(super) value: String,
}

/// Whether a whole file is there for tests only, by its path.
pub(super) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

impl Source {
    /// Takes `text` apart.
    pub(super) fn parse(text: &str) -> Self {
        let (blanked, strings) = Scanner::new(text).scan();
        let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        Self { test: test_lines(&code), code, strings }
    }

    /// Lines of code that are not only for tests, with their numbers from 1.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().enumerate().filter(|(at, _)| !self.test[*at]);
        lines.map(|(at, line)| (at + 1, line.as_str()))
    }

    /// Every path that a `use` of shipped code brings in, with its line from 1; braces are
    /// resolved, so `use a::{b, c::d};` is `a::b` and `a::c::d`.
    pub(super) fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        let mut statement = String::new();
        let mut begin = 0;
        for (number, line) in self.shipped() {
            let line = line.trim();
            if statement.is_empty() && is_use(line) {
                begin = number;
            } else if statement.is_empty() {
                continue;
            }
            statement.push_str(line);
            if line.ends_with(';') {
                let tree = statement.split_once("use ").map_or("", |(_, tree)| tree);
                let mut paths = Vec::new();
                expand("", tree.trim_end_matches(';'), &mut paths);
                imports.extend(paths.into_iter().map(|path| (begin, path)));
                statement.clear();
            }
        }
        imports
    }

    /// Whether the line (from 0) is only for tests.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.test.get(line).copied().unwrap_or(false)
    }
}

/// Whether a line begins a `use`.
pub(super) fn is_use(line: &str) -> bool {
    let line = line.trim_start();
    let rest = line.strip_prefix("pub").map_or(line, |rest| {
        rest.strip_prefix("(crate)").or_else(|| rest.strip_prefix("(super)")).unwrap_or(rest)
    });
    rest.trim_start().starts_with("use ")
}

/// The paths of a use tree.
fn expand(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        if !tree.is_empty() {
            let path = tree.split(" as ").next().unwrap_or(tree);
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let prefix = format!("{prefix}{head}");
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                expand(&prefix, &rest[start..at], paths);
                start = at + 1;
            }
            _ => {}
        }
    }
}

/// Whether `word` occurs in `line` as a whole word; it may hold `::`.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Marks the lines of items under `#[cfg(test)]`: up to the brace that closes the item, or the
/// semicolon that ends it.
fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    let mut at = 0;
    while at < code.len() {
        if !code[at].contains("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        let mut opened = false;
        'item: for (line, text) in code.iter().enumerate().skip(at) {
            test[line] = true;
            at = line + 1;
            let from =
                if line == at - 1 { text.find("#[cfg(test)]").map_or(0, |a| a + 12) } else { 0 };
            for c in text[from..].chars() {
                match c {
                    '{' => {
                        depth += 1;
                        opened = true;
                    }
                    '}' => depth = depth.saturating_sub(1),
                    ';' if depth == 0 => break 'item,
                    _ => {}
                }
                if opened && depth == 0 {
                    break 'item;
                }
            }
        }
    }
    test
}

/// Walks over the text once.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    out: String,
    strings: Vec<Literal>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let out = String::with_capacity(text.len());
        Self { text, at: 0, line: 0, line_start: 0, out, strings: Vec::new() }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn scan(mut self) -> (String, Vec<Literal>) {
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("//") {
                let end = rest.find('\n').unwrap_or(rest.len());
                self.blank(end);
            } else if rest.starts_with("/*") {
                self.blank(block_comment(rest));
            } else if let Some(hashes) = raw_string(rest) {
                self.raw(hashes);
            } else if c == '"' {
                self.string();
            } else if c == '\'' {
                self.quote();
            } else {
                self.keep(c);
            }
        }
        (self.out, self.strings)
    }

    fn keep(&mut self, c: char) {
        self.out.push(c);
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.line_start = self.out.len();
        }
    }

    /// Writes spaces for the next `count` bytes and keeps line ends.
    fn blank(&mut self, count: usize) {
        for c in self.text[self.at..self.at + count].chars() {
            if c == '\n' { self.keep(c) } else { self.blank_char(c) }
        }
    }

    fn blank_char(&mut self, c: char) {
        self.out.push(' ');
        self.at += c.len_utf8();
    }

    /// Keeps the quotes of the literal that starts here and blanks the `inside` bytes between.
    fn literal(&mut self, inside: usize) {
        let column = self.out.len() - self.line_start;
        let value = self.rest()[1..=inside].to_owned();
        self.strings.push(Literal { line: self.line, column, value });
        self.keep('"');
        self.blank(inside);
        self.keep('"');
    }

    fn string(&mut self) {
        let rest = self.rest();
        let mut escaped = false;
        let inside = rest[1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        match inside {
            Some(inside) => self.literal(inside),
            None => self.blank(rest.len()),
        }
    }

    /// `r"..."`, `r#"..."#`, `br"..."`: the letters are kept, the rest is one literal.
    fn raw(&mut self, hashes: usize) {
        while !self.rest().starts_with(['"', '#']) {
            let Some(c) = self.rest().chars().next() else { return };
            self.keep(c);
        }
        let end = format!("\"{}", "#".repeat(hashes));
        self.blank(hashes);
        match self.rest()[1..].find(&end) {
            Some(inside) => {
                self.literal(inside);
                self.blank(hashes);
            }
            None => self.blank(self.rest().len()),
        }
    }

    /// A character literal is blanked; a lifetime is kept.
    fn quote(&mut self) {
        let mut chars = self.rest().char_indices().skip(1);
        let length = match (chars.next(), chars.next()) {
            (Some((_, '\\')), Some((at, c))) => {
                let after = at + c.len_utf8();
                self.rest()[after..].find('\'').map(|end| after + end + 1)
            }
            (Some(_), Some((at, '\''))) => Some(at + 1),
            _ => None,
        };
        match length {
            Some(length) => self.blank(length),
            None => self.keep('\''),
        }
    }
}

/// Length of the block comment at the start of `rest`; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The number of `#` when a raw string starts here.
fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

#[cfg(test)]
mod tests;
