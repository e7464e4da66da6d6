//! What is refused, and how.

use std::time::Duration;

use ebb_model::InstanceId;
use ebb_model::engine::{InstanceSpec, RestartPolicy};

use super::{Program, Suite};
use crate::{Act, Error, LogQuery, Open};

/// A field, and what makes it wrong.
type Wrong = (&'static str, fn(&mut InstanceSpec));

const WRONG: [Wrong; 15] = [
    ("name", |spec| "../x".clone_into(&mut spec.name)),
    ("runtime", |spec| "none".clone_into(&mut spec.runtime)),
    ("init", |spec| spec.init = spec.containers.clone()),
    ("containers", |spec| spec.containers.clear()),
    ("containers", |spec| spec.containers.push(spec.containers[0].clone())),
    ("restart_policy", |spec| spec.restart_policy = RestartPolicy::Always),
    ("start_timeout_ms", |spec| spec.start_timeout_ms = 0),
    ("containers[0].name", |spec| "A b".clone_into(&mut spec.containers[0].name)),
    ("containers[0].argv", |spec| spec.containers[0].argv.clear()),
    ("containers[0].argv", |spec| spec.containers[0].argv.push("a\0b".to_owned())),
    ("containers[0].env", |spec| {
        spec.containers[0].env.push(("A=B".to_owned(), String::new()));
    }),
    ("containers[0].working_dir", |spec| "tmp".clone_into(&mut spec.containers[0].working_dir)),
    ("containers[0].port", |spec| spec.containers[0].port = Some(0)),
    ("containers[0].limits[memory]", |spec| {
        spec.containers[0].limits.insert("memory".to_owned(), 1);
    }),
    ("containers[0].limits[ebb.dev/unknown]", |spec| {
        spec.containers[0].limits.insert("ebb.dev/unknown".to_owned(), 1);
    }),
];

impl Suite<'_> {
    pub(super) async fn wrong_specs_are_refused_by_field(&mut self) {
        for (field, spoil) in WRONG {
            let id = self.id();
            let mut spec = self.spec(&Program::Serves(8080));
            spoil(&mut spec);
            match self.engine.start(&id, spec).await {
                Err(Error::Invalid { field: named, message }) => {
                    assert_eq!(named, field);
                    assert!(!message.is_empty(), "{field}");
                }
                other => panic!("a wrong {field} was not refused: {other:?}"),
            }
            let listed = self.engine.list().await.expect("it lists");
            assert!(!listed.iter().any(|status| status.id == id), "{field}: nothing was started");
        }
    }

    pub(super) async fn what_is_not_there_is_said(&mut self) {
        let id: InstanceId = self.id();
        self.stop(&id, Duration::from_secs(1)).await;
        let act = self.engine.act(&id, Act::Signal(15)).await;
        assert!(matches!(act, Err(Error::NotFound(_))), "{act:?}");
        let open = self.engine.open(&id, "user", Open::Logs(LogQuery::default())).await;
        assert!(matches!(open, Err(Error::NotFound(_))), "{open:?}");
        let (id, mut watcher) = self.ready(&Program::Serves(8080)).await;
        let open = self.engine.open(&id, "other", Open::Logs(LogQuery::default())).await;
        assert!(matches!(open, Err(Error::NotFound(_))), "{open:?}");
        self.stop(&id, Duration::from_secs(5)).await;
        watcher.exited(&id).await;
    }
}
