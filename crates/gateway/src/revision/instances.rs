//! The instances of a revision come and go.

use std::sync::Arc;
use std::time::Duration;

use ebb_model::InstanceId;
use ebb_model::routing::Endpoint;

use super::Revision;
use crate::config::Config;
use crate::instance::{Instance, Trust};

impl Revision {
    /// An instance takes requests from now on. Adding one again changes nothing.
    pub(crate) fn add(self: &Arc<Self>, endpoint: Endpoint) {
        let mut state = self.state();
        let known = state.ready.iter().chain(&state.leaving).any(|i| i.id == endpoint.id);
        if !known {
            state.ready.push(Instance::new(endpoint));
        }
        drop(state);
        self.pump();
    }

    /// An instance gets no more requests. Answers when it works on none, or after `limit`.
    pub(crate) async fn drain(&self, id: &InstanceId, limit: Duration) {
        let Some(instance) = self.set_leaving(id) else { return };
        let ended = async {
            loop {
                let idle = instance.idle.notified();
                if instance.load() == 0 {
                    return;
                }
                idle.await;
            }
        };
        // Past the limit the caller goes on all the same; that is what the limit is for.
        let _ = tokio::time::timeout(limit, ended).await;
        instance.close();
    }

    fn set_leaving(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        let mut state = self.state();
        if let Some(at) = state.ready.iter().position(|instance| instance.id == *id) {
            let instance = state.ready.remove(at);
            state.leaving.push(instance);
        }
        state.leaving.iter().find(|instance| instance.id == *id).cloned()
    }

    /// An instance is gone. What it still works on fails.
    pub(crate) fn remove(&self, id: &InstanceId) {
        let mut state = self.state();
        let gone = |instance: &mut Arc<Instance>| instance.id == *id;
        let mut removed: Vec<Arc<Instance>> = state.ready.extract_if(.., gone).collect();
        removed.extend(state.leaving.extract_if(.., gone));
        drop(state);
        for instance in removed {
            instance.cut();
        }
    }

    /// An instance refused a connection: it gets none for a while. Whether that is news.
    pub(crate) fn suspect(&self, instance: &Instance) -> bool {
        let _state = self.state();
        let news = instance.trust.get() != Trust::None;
        instance.trust.set(Trust::None);
        news
    }

    /// The while is over: one request may try whether it takes connections again. If all who
    /// wait tried, a dead instance would be called as often as there are requests.
    pub(crate) fn probe(self: &Arc<Self>, instance: &Instance) {
        let state = self.state();
        if instance.trust.get() == Trust::None {
            instance.trust.set(Trust::Probe);
        }
        drop(state);
        self.pump();
    }

    /// The instance has a connection for a request: it gets as many as it may.
    pub(crate) fn trust(self: &Arc<Self>, instance: &Instance) {
        if instance.trust.get() == Trust::Full {
            return;
        }
        let state = self.state();
        // A connection that was there before does not outweigh one that was refused just now.
        if instance.trust.get() != Trust::None {
            instance.trust.set(Trust::Full);
        }
        drop(state);
        self.pump();
    }

    /// Requests that an instance works on.
    pub(crate) fn in_flight(&self, id: &InstanceId) -> u32 {
        let state = self.state();
        let mut all = state.ready.iter().chain(&state.leaving);
        all.find(|instance| instance.id == *id).map_or(0, |instance| instance.load())
    }

    /// Closes connections that idled too long.
    pub(crate) fn sweep(&self, config: &Config) {
        let instances: Vec<_> = {
            let state = self.state();
            state.ready.iter().chain(&state.leaving).cloned().collect()
        };
        for instance in instances {
            instance.sweep(config);
        }
    }
}
