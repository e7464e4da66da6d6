//! Bodies in YAML, with all that YAML can do.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Refusal, refusal};
use crate::world::{MAPS, SERVICES, World};

const YAML: &str = "application/yaml";
const APPLY: &str = "application/apply-patch+yaml";
const HEAD: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n";

/// Nine lists of nine of the list before.
fn laughs() -> String {
    let mut text = format!("{HEAD}x0: &x0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n");
    for n in 1..=9 {
        let aliases = vec![format!("*x{}", n - 1); 9].join(",");
        text = format!("{text}x{n}: &x{n} [{aliases}]\n");
    }
    text
}

/// What it is, the body, the code of the refusal (any, if empty) and what that says.
type Case = (&'static str, String, &'static str, &'static str);

fn no_manifests() -> Vec<Case> {
    let with = |rest: &str| format!("{HEAD}{rest}");
    let many = format!(
        "{HEAD}x: &x [{}]\ny: [{}]\n",
        vec!["a"; 1_000].join(","),
        vec!["*x"; 2_000].join(",")
    );
    vec![
        ("a bomb of lists", laughs(), "MANIFEST_TOO_COMPLEX", ""),
        ("an alias 2,000 times", many, "MANIFEST_TOO_COMPLEX", ""),
        ("an alias of itself", with("x: &x [*x]\n"), "", ""),
        ("an alias of nothing", with("x: *y\n"), "INVALID_YAML", "line 5 column"),
        (
            "a tag of Python",
            with("x: !!python/object:os.system [a]\n"),
            "UNSUPPORTED_TAG",
            "line 5",
        ),
        ("a tag on a text", with("x: !!python/name:os.system a\n"), "UNSUPPORTED_TAG", ""),
        ("a tag of its own", with("data: {a: !mine b}\n"), "UNSUPPORTED_TAG", "!mine"),
        ("a tag on a map", with("data: !mine {a: b}\n"), "UNSUPPORTED_TAG", "!mine"),
        ("a tag on all", format!("!mine\n{HEAD}"), "UNSUPPORTED_TAG", "!mine"),
        ("a tab", with("data:\n\ta: b\n"), "INVALID_YAML", "line 6 column"),
        ("indentation", with("data:\n  a: b\n c: d\n"), "INVALID_YAML", "line"),
        ("two documents", with("---\napiVersion: v1\n"), "INVALID_YAML", "line 5"),
        ("not closed", with("data: {a: b\n"), "INVALID_YAML", "line"),
        ("a text not closed", with("data: {a: \"b}\n"), "INVALID_YAML", "line"),
        ("NUL", with("data: {a: \0}\n"), "INVALID_YAML", ""),
        ("invalid escape", with("data: {a: \"\\q\"}\n"), "INVALID_YAML", "line 5"),
        ("a lone surrogate", with("data: {a: \"\\ud800\"}\n"), "INVALID_YAML", ""),
        ("infinity", with("x: .inf\n"), "INVALID_NUMBER", ""),
        ("not a number", with("x: .NaN\n"), "INVALID_NUMBER", ""),
        ("a list for a key", with("? [a]\n: b\n"), "INVALID_YAML", ""),
        ("a list", "- a\n".to_owned(), "INVALID_JSON", ""),
        ("a text", "hello".to_owned(), "INVALID_JSON", ""),
        ("nothing", String::new(), "", ""),
        ("a comment", "# nothing\n".to_owned(), "", ""),
        ("10,000 lists", format!("{HEAD}x: {}", "[".repeat(10_000)), "JSON_TOO_DEEP", ""),
        ("10,000 maps", format!("{HEAD}x: {}", "{a: ".repeat(10_000)), "JSON_TOO_DEEP", ""),
        ("10,000 dashes", format!("{HEAD}x:\n  {}", "- ".repeat(10_000)), "JSON_TOO_DEEP", ""),
        ("3 MB of brackets", "[".repeat(3_000_000), "JSON_TOO_DEEP", ""),
        ("3 MB of question marks", "? ".repeat(1_500_000), "INVALID_YAML", ""),
        ("3 MB of dashes", "- ".repeat(1_500_000), "JSON_TOO_DEEP", ""),
        ("3 MB of braces", "{".repeat(3_000_000), "JSON_TOO_DEEP", ""),
        ("3 MB of anchors", format!("{HEAD}x: {}", "&a ".repeat(1_000_000)), "INVALID_YAML", ""),
        ("3 MB of quotes", "'".repeat(3_000_001), "INVALID_YAML", ""),
        ("a version from elsewhere", HEAD.replace("v1", "apps/v1"), "UNSUPPORTED_VERSION", "v1 is"),
        (
            "a kind from elsewhere",
            HEAD.replace("ConfigMap", "Job"),
            "UNSUPPORTED_VERSION",
            "ConfigMap",
        ),
    ]
}

#[tokio::test]
async fn what_is_not_a_manifest() {
    let world = World::new();
    for (what, body, code, says) in no_manifests() {
        let strict = world.raw(&format!("{MAPS}?fieldValidation=Strict"), YAML, body.clone());
        let path = format!("{MAPS}/a?fieldManager=me&fieldValidation=Strict");
        let apply = world.request(Method::PATCH, &path).header("content-type", APPLY).body(body);
        for (how, request) in [("made", strict), ("applied", apply)] {
            let what = format!("{what}, {how}");
            if code.is_empty() {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 400, "{what}: {}", answer.text().await.unwrap());
                continue;
            }
            let says = [says];
            let says: &[&str] = if says[0].is_empty() { &[] } else { &says };
            world.refused(&what, request, Refusal { status: 400, code, says }).await;
        }
    }
    let bytes = [HEAD.as_bytes(), b"data: {a: \xff}\n"].concat();
    world
        .refused("invalid UTF-8", world.raw(MAPS, YAML, bytes), refusal(400, "INVALID_YAML"))
        .await;
    world.end().await;
}

#[tokio::test]
async fn keys_that_are_twice_and_keys_that_are_no_text() {
    let world = World::new();
    let strict = format!("{MAPS}?fieldValidation=Strict");
    let twice = format!("{HEAD}data:\n  k: '1'\n  k: '2'\n");
    let want = Refusal { status: 400, code: "DUPLICATE_KEY", says: &["data.k"] };
    world.refused("twice", world.raw(&strict, YAML, twice), want).await;
    let merge = format!("x: &x {{a: b}}\n{HEAD}data:\n  <<: *x\n");
    let want = Refusal { status: 400, code: "INVALID_YAML", says: &["merge key", "line 7"] };
    world.refused("merge key", world.raw(&strict, YAML, merge), want).await;
    let number = format!("{HEAD}data: {{1: a, true: b}}\n");
    let made: Value = world.raw(MAPS, YAML, number).send().await.unwrap().json().await.unwrap();
    assert_eq!(made["data"], json!({"1": "a", "true": "b"}), "a key is what it is written as");
    world.end().await;
}

/// What looks like something else stays what it is written as, or is refused: never changed.
#[tokio::test]
async fn norway_and_octal() {
    let world = World::new();
    for word in [
        "no",
        "NO",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "010",
        "0o",
        "1_000",
        "12:30:45",
        "0b",
        "2001-01-01",
    ] {
        let name = format!("w-{}", word.to_lowercase().replace(['_', ':'], "-"));
        let name = if word == "NO" { "w-upper".to_owned() } else { name };
        let body = format!(
            "{}data: {{country: {word}}}\n",
            HEAD.replace("name: a", &format!("name: {name}"))
        );
        let made = world.raw(MAPS, YAML, body).send().await.unwrap();
        assert_eq!(made.status(), 201, "{word}");
        let made: Value = made.json().await.unwrap();
        assert_eq!(made["data"]["country"], json!(word), "read as something else");
    }
    for word in ["true", "false", "1", "1.5", "0x10", "0o10", "1e3", "[no]"] {
        let body = format!("{HEAD}data: {{country: {word}}}\n");
        let want = Refusal { status: 400, code: "INVALID_VALUE", says: &["data.country"] };
        world.refused(word, world.raw(MAPS, YAML, body), want).await;
    }
    let port = |port: &str| {
        format!(
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: a}}\nspec: {{template: \
             {{spec: {{containers: [{{image: a, ports: [{{containerPort: {port}}}]}}]}}}}}}\n"
        )
    };
    for number in ["010", "'80'", "80.5", "1e400", "eighty", "8_080"] {
        let code = if number == "1e400" || number == "eighty" { "" } else { "INVALID_NUMBER" };
        let request = world.raw(SERVICES, YAML, port(number));
        if code.is_empty() {
            assert_eq!(request.send().await.unwrap().status(), 400, "{number}");
            continue;
        }
        world
            .refused(number, request, Refusal { status: 400, code, says: &["containerPort"] })
            .await;
    }
    for number in ["0", "65536", "-80"] {
        let want = Refusal { status: 422, code: "INVALID_PORT", says: &["containerPort"] };
        world.refused(number, world.raw(SERVICES, YAML, port(number)), want).await;
    }
    world.end().await;
}
