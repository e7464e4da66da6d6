//! Events are about the last hour, whoever wrote them: what nobody wrote again goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ebb_model::{Timestamp, key};
use ebb_store::{Commit, Precondition, Record, Write};

use super::KEEP;
use crate::error::Error;
use crate::objects::ACTOR;
use crate::shared::Shared;

/// Time between two looks.
const LOOK: Duration = Duration::from_mins(1);
/// Events kept at most, those of clients included.
const MOST: usize = 10_000;
/// Records per page.
const PAGE: usize = 500;

/// When each Event was written last, as far as was seen. What an Event says about its time does not
/// matter: anybody may write anything there.
#[derive(Default)]
pub(crate) struct Expiry {
    seen: BTreeMap<String, (u64, Timestamp)>,
}

impl Expiry {
    /// Takes in every Event with its version. Answers those whose time is over, and the oldest of
    /// those that are too many.
    fn over(&mut self, events: &[(String, u64)], now: Timestamp) -> Vec<(String, u64)> {
        let mut seen = BTreeMap::new();
        for (key, version) in events {
            let before = self.seen.get(key).filter(|(known, _)| known == version);
            seen.insert(key.clone(), (*version, before.map_or(now, |(_, since)| *since)));
        }
        self.seen = seen;
        let mut by_age: Vec<(Timestamp, u64, &String)> =
            self.seen.iter().map(|(key, (version, since))| (*since, *version, key)).collect();
        by_age.sort();
        let too_many = by_age.len().saturating_sub(MOST);
        let over = |(place, (since, ..)): &(usize, &(Timestamp, u64, &String))| {
            *place < too_many || now.since(*since) >= KEEP
        };
        let over = by_age.iter().enumerate().filter(over);
        over.map(|(_, (_, version, key))| ((*key).clone(), *version)).collect()
    }
}

/// Removes Events whose time is over, for ever.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut expiry = Expiry::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = look(&shared, &mut expiry).await {
            tracing::warn!(%error, "events could not be looked through");
        }
    }
}

async fn look(shared: &Shared, expiry: &mut Expiry) -> Result<(), Error> {
    let prefix = key::all("", "events");
    let (mut events, mut after): (Vec<(String, u64)>, Option<String>) = (Vec::new(), None);
    loop {
        let page = shared.live.scan(&prefix, None, after.as_deref(), PAGE).await?;
        after = page.records.last().map(|record| record.key.clone());
        events.extend(page.records.into_iter().map(|Record { key, version, .. }| (key, version)));
        if !page.more || after.is_none() {
            break;
        }
    }
    for (key, version) in expiry.over(&events, shared.clock.now()) {
        let commit = Commit {
            preconditions: vec![Precondition::Version(key.clone(), version)],
            writes: vec![Write::Delete { key }],
            actor: ACTOR.to_owned(),
            ..Commit::default()
        };
        match shared.live.commit(commit).await {
            // It was written again just now.
            Ok(_) | Err(ebb_store::Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    #[test]
    fn an_hour_after_it_was_written_last_it_goes() {
        let mut expiry = Expiry::default();
        let a = |version| vec![("/a".to_owned(), version)];
        assert!(expiry.over(&a(1), at(0)).is_empty());
        assert!(expiry.over(&a(1), at(59)).is_empty());
        assert!(expiry.over(&a(2), at(60)).is_empty(), "it was written again");
        assert!(expiry.over(&a(2), at(119)).is_empty());
        assert_eq!(expiry.over(&a(2), at(120)), a(2));
        assert!(expiry.over(&[], at(121)).is_empty());
        assert!(expiry.seen.is_empty());
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut expiry = Expiry::default();
        let old = vec![("/z".to_owned(), 1)];
        assert!(expiry.over(&old, at(0)).is_empty());
        let mut many: Vec<(String, u64)> = (0..MOST).map(|n| (format!("/a{n:06}"), 2)).collect();
        many.extend(old.clone());
        assert_eq!(expiry.over(&many, at(1)), old);
    }
}
