use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::cap::{MAX_UPDATERS, cap};
use super::compare::compare;
use super::element::Element;
use super::managers::{Manager, Managers, Operation, Owned};
use super::merge::merge;
use super::set::{Set, render};
use super::walk::{check, fields};
use super::write::{By, Conflict, Scope, apply, track_update};
use crate::schema::{ListMerge, Node};

fn object(fields: Vec<(&str, Node)>) -> Node {
    let fields = fields.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
    Node::Struct { fields, atomic: false }
}

fn list(items: Node, merge: ListMerge) -> Node {
    Node::List { items: Box::new(items), merge, patch_key: None }
}

fn map() -> Node {
    Node::Map { values: Box::new(Node::Scalar), atomic: false }
}

/// One field of each sort.
fn node() -> Node {
    let element = object(vec![("name", Node::Scalar), ("a", Node::Scalar), ("map", map())]);
    let spec = object(vec![
        ("x", Node::Scalar),
        ("y", Node::Scalar),
        ("map", map()),
        ("set", list(Node::Scalar, ListMerge::Set)),
        ("keyed", list(element.clone(), ListMerge::Map(&["name"]))),
        ("whole", list(element, ListMerge::Atomic)),
        ("fixed", Node::Map { values: Box::new(Node::Scalar), atomic: true }),
    ]);
    object(vec![("metadata", object(vec![("labels", map())])), ("spec", spec)])
}

fn manager(name: &str, operation: Operation) -> Manager {
    Manager {
        operation,
        name: name.to_owned(),
        api_version: "v1".to_owned(),
        subresource: String::new(),
    }
}

/// An object and its managers.
#[derive(Clone, Debug, PartialEq)]
struct Live {
    node: Node,
    value: Value,
    managers: Managers,
}

impl Live {
    fn new() -> Self {
        Self { node: node(), value: json!({}), managers: Managers::default() }
    }

    fn apply(&mut self, name: &str, config: &Value, force: bool) -> Result<(), Vec<Conflict>> {
        let manager = manager(name, Operation::Apply);
        let by = By {
            node: &self.node,
            manager: &manager,
            scope: Scope::Whole,
            blank: &json!({}),
            now: "t",
        };
        let mut managers = self.managers.clone();
        self.value = apply(&by, &mut managers, &self.value, config, force)?;
        self.managers = managers;
        Ok(())
    }

    fn update(&mut self, name: &str, value: Value) {
        let manager = manager(name, Operation::Update);
        let by = By {
            node: &self.node,
            manager: &manager,
            scope: Scope::Whole,
            blank: &json!({}),
            now: "t",
        };
        track_update(&by, &mut self.managers, &self.value, &value);
        self.value = value;
    }

    fn owned(&self, name: &str, operation: Operation) -> Value {
        let owned = self.managers.get(&manager(name, operation));
        owned.map_or(Value::Null, |owned| owned.fields.encode())
    }
}

#[test]
fn fields_of_each_sort() {
    let value = json!({
        "metadata": {"labels": {"app": "a"}},
        "spec": {
            "x": 1, "map": {}, "set": ["p"], "fixed": {"k": "v"}, "whole": [{"name": "n"}],
            "keyed": [{"name": "n", "map": {"k": "v"}}],
        },
    });
    let want = json!({
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:x": {}, "f:map": {}, "f:set": {"v:\"p\"": {}}, "f:fixed": {}, "f:whole": {},
            "f:keyed": {"k:{\"name\":\"n\"}": {".": {}, "f:name": {}, "f:map": {"f:k": {}}}},
        },
    });
    let set = fields(&node(), &value);
    assert_eq!(set.encode(), want);
    assert_eq!(Set::decode(&want).unwrap(), set);
    let paths: Vec<String> = set.paths().iter().map(|path| render(path)).collect();
    assert!(paths.contains(&".spec.keyed[name=\"n\"].map.k".to_owned()), "{paths:?}");
    assert!(paths.contains(&".spec.set[=\"p\"]".to_owned()), "{paths:?}");
}

#[test]
fn what_is_no_set_of_fields() {
    for bad in
        [json!(1), json!({"x": {}}), json!({"k:{}": {}}), json!({"v:": {}}), json!({"f:a": 1})]
    {
        assert!(Set::decode(&bad).is_err(), "{bad}");
    }
    let kept = Set::decode(&json!({"i:3": {}, "k:{\"b\":1,\"a\":\"x\"}": {}})).unwrap();
    assert_eq!(kept.encode(), json!({"i:3": {}, "k:{\"a\":\"x\",\"b\":1}": {}}));
    assert_eq!(Element::decode("f:a:b"), Some(Element::field("a:b")));
}

#[test]
fn differences() {
    let old = json!({"spec": {"x": 1, "set": ["p", "q"], "keyed": [{"name": "n", "a": 1}]}});
    let new = json!({"spec": {"x": 2, "set": ["q", "r"], "keyed": [{"name": "n", "a": 2}], "map": {"k": "v"}}});
    let found = compare(&node(), &old, &new);
    assert_eq!(
        found.added.encode(),
        json!({"f:spec": {"f:map": {".": {}, "f:k": {}}, "f:set": {"v:\"r\"": {}}}})
    );
    assert_eq!(
        found.modified.encode(),
        json!({"f:spec": {"f:x": {}, "f:keyed": {"k:{\"name\":\"n\"}": {"f:a": {}}}}})
    );
    assert_eq!(found.removed.encode(), json!({"f:spec": {"f:set": {"v:\"p\"": {}}}}));
}

#[test]
fn lists_keep_the_order_of_the_configuration() {
    let names = |value: &Value| -> String {
        value["spec"]["set"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    };
    for (live, config, want) in [
        ("abc", "ca", "bca"),
        ("abc", "ab", "abc"),
        ("abc", "xb", "axbc"),
        ("", "ab", "ab"),
        ("abc", "d", "abcd"),
        ("ab", "ba", "ba"),
    ] {
        let spec = |text: &str| {
            let list: Vec<String> = text.chars().map(String::from).collect();
            json!({"spec": {"set": list}})
        };
        assert_eq!(names(&merge(&node(), &spec(live), &spec(config))), want, "{live} {config}");
    }
}

#[test]
fn what_a_manager_leaves_out_is_removed_unless_another_owns_it() {
    let mut live = Live::new();
    let first = json!({"spec": {"x": 1, "map": {"a": "1", "b": "2"},
        "keyed": [{"name": "n", "a": 1}, {"name": "m"}]}});
    live.apply("one", &first, false).unwrap();
    live.apply("two", &json!({"spec": {"x": 1, "keyed": [{"name": "m"}]}}), false).unwrap();
    live.value["spec"]["y"] = json!("defaulted");
    live.value["spec"]["keyed"][0]["map"] = json!({"d": "defaulted"});
    live.apply("one", &json!({"spec": {"map": {"b": "2"}}}), false).unwrap();
    assert_eq!(
        live.value,
        json!({"spec": {"x": 1, "y": "defaulted", "map": {"b": "2"}, "keyed": [{"name": "m"}]}})
    );
    live.apply("two", &json!({"metadata": {}}), false).unwrap();
    assert_eq!(live.value["spec"], json!({"y": "defaulted", "map": {"b": "2"}}));
    assert_eq!(live.owned("one", Operation::Apply), json!({"f:spec": {"f:map": {"f:b": {}}}}));
}

#[test]
fn conflicts_name_manager_and_field_and_force_takes() {
    let mut live = Live::new();
    live.update("editor", json!({"spec": {"x": 1, "y": 1}}));
    live.apply("one", &json!({"spec": {"map": {"a": "1"}}}), false).unwrap();
    let config = json!({"spec": {"x": 2, "map": {"a": "1"}}});
    let conflicts = live.clone().apply("two", &config, false).unwrap_err();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].who(), "\"editor\" using v1");
    assert_eq!(conflicts[0].paths(), [".spec.x"]);
    live.apply("two", &config, true).unwrap();
    assert_eq!(live.value["spec"]["x"], 2);
    assert_eq!(live.owned("editor", Operation::Update), json!({"f:spec": {".": {}, "f:y": {}}}));
    let shared = json!({"f:spec": {"f:map": {"f:a": {}}}});
    assert_eq!(live.owned("one", Operation::Apply), shared);
    let back = live.clone().apply("one", &json!({"spec": {"map": {"a": "9"}}}), false).unwrap_err();
    assert_eq!((back[0].who(), back[0].paths()), ("\"two\"".into(), vec![".spec.map.a".into()]));
}

#[test]
fn updates_own_what_they_change() {
    let mut live = Live::new();
    live.apply("one", &json!({"spec": {"x": 1, "map": {"a": "1"}}}), false).unwrap();
    live.update("editor", json!({"spec": {"x": 2, "map": {"b": "2"}}}));
    assert_eq!(live.owned("one", Operation::Apply), Value::Null);
    assert_eq!(
        live.owned("editor", Operation::Update),
        json!({"f:spec": {"f:x": {}, "f:map": {"f:b": {}}}})
    );
    let before = live.clone();
    live.update("other", live.value.clone());
    assert_eq!(live, before, "nothing changed");
}

#[test]
fn the_first_apply_finds_an_owner_for_what_was_there() {
    let mut live = Live::new();
    live.value = json!({"spec": {"x": 1}});
    let conflicts = live.clone().apply("one", &json!({"spec": {"x": 2}}), false).unwrap_err();
    assert_eq!(conflicts[0].who(), "\"before-first-apply\" using v1");
    live.apply("one", &json!({"spec": {"x": 1}}), false).unwrap();
    assert_eq!(live.owned("one", Operation::Apply), json!({"f:spec": {"f:x": {}}}));
}

#[test]
fn lists_that_cannot_be_merged() {
    let config =
        json!({"spec": {"set": ["p", "p"], "keyed": [{"a": 1}, {"name": "n"}, {"name": "n"}]}});
    let wrong: Vec<String> = check(&node(), &config).into_iter().map(|(path, _)| path).collect();
    assert_eq!(wrong, [".spec.keyed[0]", ".spec.keyed[name=\"n\"]", ".spec.set[=\"p\"]"]);
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut managers = Managers::default();
    for n in 0..15 {
        let mut set = Set::default();
        set.insert(&[Element::field(format!("f{n}"))]);
        let owned = Owned { time: Some(format!("{n:02}")), fields: set };
        managers.set(&manager(&format!("m{n:02}"), Operation::Update), owned.clone());
        managers.set(&manager("applier", Operation::Apply), owned);
    }
    let all = managers.union();
    cap(&mut managers);
    let updaters: Vec<&str> = managers
        .iter()
        .filter(|(manager, _)| manager.operation == Operation::Update)
        .map(|(manager, _)| manager.name.as_str())
        .collect();
    assert_eq!(updaters.len(), MAX_UPDATERS);
    assert_eq!((updaters[0], updaters[1]), ("ancient-changes", "m06"));
    assert_eq!(managers.union(), all);
    let before = managers.clone();
    cap(&mut managers);
    assert_eq!(managers, before);
}

/// A client can send as many entries as a body holds.
#[test]
fn many_managers_are_no_bomb() {
    let entry = |n: usize, operation: &str| {
        json!({"manager": format!("m{n}"), "operation": operation, "apiVersion": format!("v{n}"),
            "fieldsType": "FieldsV1", "fieldsV1": {format!("f:f{n}"): {}}})
    };
    let list = (0..10_000).flat_map(|n| [entry(n, "Apply"), entry(n % 5_000, "Update")]).collect();
    let mut live = Live { managers: Managers::decode(&list).unwrap(), ..Live::new() };
    live.apply("one", &json!({"spec": {"x": 1}}), false).unwrap();
    live.update("editor", json!({"spec": {"x": 2}}));
    assert_eq!(live.owned("one", Operation::Apply), Value::Null);
    assert_eq!(Managers::decode(&live.managers.encode()).unwrap(), live.managers);
}

type Texts = BTreeMap<&'static str, String>;
type Keyed = BTreeMap<&'static str, (i64, Texts)>;

/// A configuration of the hand-made kind; `names` are the keys that it uses.
fn config(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let name = || proptest::sample::select(names);
    let maps = || proptest::collection::btree_map(name(), "[a-c]", 0..3);
    let keyed = proptest::collection::btree_map(name(), (0..3_i64, maps()), 0..3);
    let set = proptest::collection::btree_set(name(), 0..3);
    (maps(), maps(), set, keyed, proptest::option::of(maps())).prop_map(
        |(labels, map, set, keyed, fixed): (Texts, Texts, _, Keyed, Option<Texts>)| {
            let keyed: Vec<Value> = keyed
                .into_iter()
                .map(|(name, (a, map))| json!({"name": name, "a": a, "map": map}))
                .collect();
            let mut value = json!({
                "metadata": {"labels": labels}, "spec": {"map": map, "set": set, "keyed": keyed},
            });
            if let Some(fixed) = fixed {
                value["spec"]["fixed"] = json!(fixed);
            }
            value
        },
    )
}

const SOME: &[&str] = &["k", "l", "m"];
const OTHERS: &[&str] = &["p", "q", "r"];

/// Without what only one of two can say: atomic values, and empty maps and lists.
fn shareable(mut value: Value) -> Value {
    value["spec"].as_object_mut().unwrap().remove("fixed");
    prune_empty(&mut value);
    value
}

fn prune_empty(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune_empty);
            map.retain(|_, value| !empty(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune_empty),
        _ => {}
    }
}

fn empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

fn sorted(mut value: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Object(map) => map.values_mut().for_each(sort),
            Value::Array(list) => {
                list.iter_mut().for_each(sort);
                list.sort_by_key(Value::to_string);
            }
            _ => {}
        }
    }
    sort(&mut value);
    value
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_set_is_what_it_was_after_encoding(value in config(SOME)) {
        let set = fields(&node(), &value);
        prop_assert_eq!(Set::decode(&set.encode()).unwrap(), set);
    }

    #[test]
    fn nothing_differs_from_itself_and_everything_is_said(a in config(SOME), b in config(SOME)) {
        let node = node();
        let same = compare(&node, &a, &a);
        prop_assert!(same.said().is_empty() && same.removed.is_empty());
        let merged = merge(&node, &a, &b);
        let there = fields(&node, &merged);
        let lost = fields(&node, &b).difference(&there).paths();
        // An empty map is a field of its own; one with something in it is not.
        let maps = lost.iter().all(|path| matches!(path.last(), Some(Element::Field(_))));
        prop_assert!(maps);
        prop_assert_eq!(merge(&node, &merged, &b), merged);
    }

    #[test]
    fn applying_twice_changes_nothing(first in config(SOME), second in config(SOME)) {
        let mut live = Live::new();
        live.apply("one", &first, false).unwrap();
        live.apply("two", &second, true).unwrap();
        let before = live.clone();
        live.apply("two", &second, false).unwrap();
        prop_assert_eq!(live, before);
    }

    #[test]
    fn the_last_configuration_is_all_that_is_left(first in config(SOME), second in config(SOME)) {
        let second = shareable(second);
        let mut live = Live::new();
        live.apply("one", &first, false).unwrap();
        live.apply("one", &second, false).unwrap();
        prune_empty(&mut live.value);
        prop_assert_eq!(sorted(live.value.clone()), sorted(second.clone()));
        prop_assert_eq!(live.managers.union(), fields(&live.node, &second));
    }

    #[test]
    fn disjoint_managers_never_conflict_and_their_order_is_the_same(
        a in config(SOME), b in config(OTHERS), c in config(SOME),
    ) {
        let (a, b, c) = (shareable(a), shareable(b), shareable(c));
        let mut one = Live::new();
        one.apply("one", &a, false).unwrap();
        one.apply("two", &b, false).unwrap();
        let mut two = Live::new();
        two.apply("two", &b, false).unwrap();
        two.apply("one", &a, false).unwrap();
        prop_assert_eq!(sorted(one.value.clone()), sorted(two.value.clone()));
        prop_assert_eq!(&one.managers, &two.managers);
        one.apply("one", &c, false).unwrap();
        let mut want = Live::new();
        want.apply("two", &b, false).unwrap();
        want.apply("one", &c, false).unwrap();
        prune_empty(&mut one.value);
        prune_empty(&mut want.value);
        prop_assert_eq!(sorted(one.value), sorted(want.value));
    }

    #[test]
    fn force_takes_everything_that_is_said(first in config(SOME), second in config(SOME)) {
        let mut live = Live::new();
        live.update("editor", first);
        live.apply("one", &second, true).unwrap();
        let before = live.clone();
        prop_assert!(live.apply("one", &second, false).is_ok(), "no conflict is left");
        prop_assert_eq!(live, before);
    }
}
