//! What the scanner takes for code, comments, strings and tests.

use super::{Source, has_word};

#[test]
fn comments_and_strings_are_blanked() {
    let source =
        Source::parse("let a = \"unsafe // no\"; // unsafe\n/* unsafe\n/* */ */ let b = 'x';");
    assert_eq!(source.code[0].trim_end(), "let a = \"            \";");
    assert_eq!(source.code[1].trim(), "");
    assert!(source.code[2].contains("let b ="));
    assert!(!source.code[2].contains('x'));
    assert_eq!(source.strings.len(), 1);
    assert_eq!(source.strings[0].value, "unsafe // no");
}

#[test]
fn escapes_raw_strings_and_lifetimes() {
    let source =
        Source::parse("f::<'a>(\"a\\\"b\", r#\"c\"d\"#, '\\'', '\"');\nlet x = \"SECOND\";");
    let values: Vec<&str> = source.strings.iter().map(|s| s.value.as_str()).collect();
    assert_eq!(values, ["a\\\"b", "c\"d", "SECOND"]);
    assert!(source.code[0].contains("f::<'a>("));
    assert_eq!(source.strings[2].line, 1);
    assert_eq!(&source.code[1][..source.strings[2].column], "let x = ");
}

#[test]
fn items_for_tests_are_known() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod t;\nfn d() {}\n";
    let source = Source::parse(text);
    let shipped: Vec<usize> = source.shipped().map(|(line, _)| line).collect();
    assert_eq!(shipped, [1, 6, 9]);
}

#[test]
fn words_are_whole() {
    assert!(has_word("unsafe { x }", "unsafe"));
    assert!(!has_word("forbid(unsafe_code)", "unsafe"));
    assert!(has_word("use std::fs::File;", "std::fs"));
    assert!(!has_word("use mystd::fs;", "std::fs"));
}

#[test]
fn imports_are_resolved() {
    let text = "use a::b;\npub use c::{\n    d, e::{f, g as h},\n    i,\n};\nlet user = 1;\n";
    let imports = Source::parse(text).imports();
    let paths: Vec<&str> = imports.iter().map(|(_, path)| path.as_str()).collect();
    assert_eq!(paths, ["a::b", "c::d", "c::e::f", "c::e::g", "c::i"]);
    assert_eq!(imports[1].0, 2);
}
