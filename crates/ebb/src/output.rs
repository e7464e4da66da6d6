//! Writes to the terminal. A closed standard output ends quietly.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::cli::Output;

/// One line on standard output.
pub(crate) fn line(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Bytes on standard output. Answers whether somebody still reads.
pub(crate) fn bytes(bytes: &[u8]) -> bool {
    let mut out = std::io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).is_ok()
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) {
    line(&serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned()));
}

/// A value as YAML.
pub(crate) fn yaml(value: &impl Serialize) {
    let text = serde_yaml_ng::to_string(value).unwrap_or_else(|_| "null\n".to_owned());
    let _ = bytes(text.as_bytes());
}

/// A value as JSON or YAML, or else rows as aligned columns.
pub(crate) fn rows(
    output: Output,
    value: &impl Serialize,
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) {
    match output {
        Output::Json => json(value),
        Output::Yaml => yaml(value),
        Output::Table => {
            let mut table = Table::new();
            table.load_preset(presets::NOTHING).set_header(head.to_vec());
            for row in rows {
                table.add_row(row.iter().map(|cell| clean(cell)));
            }
            for column in table.column_iter_mut() {
                column.set_padding((0, 3));
            }
            for row in table.to_string().lines() {
                line(row.trim_end());
            }
        }
    }
}

/// Text with control characters made visible, so that a name or a log line cannot steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\t' && c != '\n' { '\u{fffd}' } else { c })
        .collect()
}

/// Microseconds as milliseconds with three digits that matter.
pub(crate) fn milliseconds(micros: u64) -> String {
    let whole = micros / 1000;
    match whole {
        0..=9 => format!("{whole}.{:03} ms", micros % 1000),
        10..=99 => format!("{whole}.{:02} ms", micros % 1000 / 10),
        _ => format!("{whole}.{:01} ms", micros % 1000 / 100),
    }
}
