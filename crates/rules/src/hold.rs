//! Whether a request may wait for an instance.

/// What a revision allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may be held at once.
    pub held: u32,
}

/// Who waits and what is free, at the moment a request arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Requests that are held already.
    pub held: u32,
    /// Whether a ready instance could take one more request now.
    pub free: bool,
}

/// What happens to a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// It is sent at once.
    Send,
    /// It waits behind those that are held.
    Hold,
    /// It is refused: as many wait as may.
    Refuse,
}

/// Decides about a request that arrives. First come, first served: nobody is sent past those who
/// wait, even when an instance is free.
pub const fn admit(limits: &Limits, queue: &QueueState) -> Admit {
    if queue.held == 0 && queue.free {
        Admit::Send
    } else if queue.held < limits.held {
        Admit::Hold
    } else {
        Admit::Refuse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let limits = Limits { held: 2 };
        let admit = |held, free| admit(&limits, &QueueState { held, free });
        assert_eq!(admit(0, true), Admit::Send);
        assert_eq!(admit(0, false), Admit::Hold);
        assert_eq!(admit(1, false), Admit::Hold);
        assert_eq!(admit(1, true), Admit::Hold, "nobody overtakes");
        assert_eq!(admit(2, false), Admit::Refuse);
        assert_eq!(admit(2, true), Admit::Refuse);
        assert_eq!(admit(u32::MAX, true), Admit::Refuse);
    }

    #[test]
    fn a_limit_of_zero_holds_nothing() {
        let limits = Limits { held: 0 };
        assert_eq!(super::admit(&limits, &QueueState { held: 0, free: true }), Admit::Send);
        assert_eq!(super::admit(&limits, &QueueState { held: 0, free: false }), Admit::Refuse);
    }
}
