//! Positive controls: with a defect put in on purpose, the simulator has to object.

use ebb_sim::{Defect, Options, Place, STEPS, run};

/// Seeds within which a defect has to be found.
const WITHIN: u64 = 30;

/// Whether the defect is found by this invariant.
fn is_found(defect: Defect, by: &str) -> bool {
    let place = Place::new().unwrap();
    (0..WITHIN).any(|seed| {
        let options = Options { seed, steps: STEPS, defect, dir: place.path() };
        run(options).unwrap().violations.iter().any(|violation| violation.invariant == by)
    })
}

#[test]
fn a_gateway_that_goes_on_sending_to_the_dead_is_found() {
    assert!(is_found(Defect::Careless, "no request to a dead instance"));
}

#[test]
fn a_store_that_drops_what_it_acknowledged_is_found() {
    assert!(is_found(Defect::Forgetful(50), "no acknowledged write is lost"));
}

#[test]
fn an_engine_that_never_says_that_an_instance_ended_is_found() {
    assert!(is_found(Defect::Deaf, "no request to a dead instance"));
}
