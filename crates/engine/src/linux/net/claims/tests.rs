use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use super::*;

/// A machine on which cells leave things: a cell lives here from its claim to its end, and leaves
/// its rules when it is killed.
#[derive(Default)]
pub(crate) struct Fake {
    on_host: Vec<(Ipv4Addr, u8)>,
    /// Dead cells whose instances live.
    orphans: BTreeSet<String>,
    cleared: Vec<String>,
}

impl Machine for Fake {
    fn clear(&mut self, dead: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let (kept, gone) = dead.iter().cloned().partition(|one| self.orphans.contains(one));
        self.cleared.extend::<BTreeSet<String>>(gone);
        Ok(kept)
    }

    fn addresses(&mut self) -> Result<Vec<(Ipv4Addr, u8)>, Error> {
        Ok(self.on_host.clone())
    }
}

/// A claim in `dir` on a machine where nothing is.
pub(crate) fn claim(dir: &Path, cell: &str) -> Claim {
    Claim::take(dir, cell, Range::default(), &mut Fake::default()).unwrap()
}

fn with(dir: &Path, cell: &str, machine: &mut Fake) -> Result<Claim, Error> {
    Claim::take(dir, cell, Range::default(), machine)
}

#[test]
fn two_cells_have_two_blocks_and_a_cell_finds_its_own_again() {
    let dir = tempfile::tempdir().unwrap();
    let take = |cell: &str| claim(dir.path(), cell);
    let (a, b) = (take("aaaaaa"), take("bbbbbb"));
    assert_eq!((a.block().number(), b.block().number()), (0, 1));
    drop(a);
    drop(b);
    assert_eq!(take("bbbbbb").block().number(), 1);
    assert_eq!(take("cccccc").block().number(), 0);
}

#[test]
fn what_the_dead_left_is_cleared_and_nothing_of_the_living() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (claim(dir.path(), "aaaaaa"), claim(dir.path(), "bbbbbb"));
    let mut machine = Fake::default();
    let c = with(dir.path(), "cccccc", &mut machine).unwrap();
    assert!(machine.cleared.is_empty());
    drop(a);
    // It lives on with another block, so its old record says nothing.
    std::fs::write(dir.path().join("9"), "bbbbbb").unwrap();
    std::fs::write(dir.path().join("8"), "../../x").unwrap();
    let d = with(dir.path(), "dddddd", &mut machine).unwrap();
    assert_eq!((d.block().number(), &*machine.cleared), (0, &["aaaaaa".to_owned()][..]));
    drop((b, c, d));
    let mut machine = Fake::default();
    drop(with(dir.path(), "cccccc", &mut machine).unwrap());
    assert_eq!(machine.cleared, ["bbbbbb", "dddddd"], "its own it clears by itself");
}

#[test]
fn a_block_whose_dead_cell_left_instances_is_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    drop(claim(dir.path(), "aaaaaa"));
    let mut machine = Fake { orphans: ["aaaaaa".to_owned()].into(), ..Fake::default() };
    let b = with(dir.path(), "bbbbbb", &mut machine).unwrap();
    assert_eq!(b.block().number(), 1);
    let again = with(dir.path(), "aaaaaa", &mut machine).unwrap();
    assert_eq!(again.block().number(), 0);
}

#[test]
fn a_cell_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = claim(dir.path(), "aaaaaa");
    let error = with(dir.path(), "aaaaaa", &mut Fake::default()).unwrap_err();
    assert_eq!(error.code(), "CELL_IN_USE");
    drop(first);
    claim(dir.path(), "aaaaaa");
}

#[test]
fn a_holder_that_is_just_ending_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let first = claim(dir.path(), "aaaaaa");
    let path = dir.path().to_owned();
    let again = thread::spawn(move || claim(&path, "aaaaaa").block().number());
    // It has been found living at least once when the gate is passed again and again.
    for _ in 0..3 {
        drop(pass_gate(dir.path()).unwrap());
    }
    drop(first);
    assert_eq!(again.join().unwrap(), 0);
}

#[test]
fn addresses_on_the_host_are_skipped_but_not_by_their_own_cell() {
    let dir = tempfile::tempdir().unwrap();
    let on_host = vec![(Ipv4Addr::new(100, 64, 0, 1), 32), (Ipv4Addr::new(100, 66, 3, 3), 15)];
    let mut machine = Fake { on_host, ..Fake::default() };
    assert_eq!(with(dir.path(), "aaaaaa", &mut machine).unwrap().block().number(), 1);
    machine.on_host = vec![(Ipv4Addr::new(100, 65, 0, 1), 32)];
    assert_eq!(with(dir.path(), "aaaaaa", &mut machine).unwrap().block().number(), 1);
    assert_eq!(with(dir.path(), "bbbbbb", &mut machine).unwrap().block().number(), 0);
}

#[test]
fn no_block_left_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Fake { on_host: vec![(Ipv4Addr::new(100, 100, 0, 1), 8)], ..Fake::default() };
    let error = with(dir.path(), "aaaaaa", &mut machine).unwrap_err();
    assert_eq!(error.code(), "HOST_EXHAUSTED");
}

#[test]
fn damaged_records_are_nobodys() {
    let dir = tempfile::tempdir().unwrap();
    for (n, text) in [&b"aaa"[..], b"", b"\xff\xfe", b"AAAAAA"].iter().enumerate() {
        std::fs::write(dir.path().join(n.to_string()), text).unwrap();
    }
    let mut machine = Fake::default();
    assert_eq!(with(dir.path(), "bbbbbb", &mut machine).unwrap().block().number(), 0);
    assert!(machine.cleared.is_empty());
    assert_eq!(std::fs::read(dir.path().join("0")).unwrap(), b"bbbbbb");
}

/// What all threads of a test share: who has rules, and who is between its claim and its end.
#[derive(Default)]
struct World {
    rules: Mutex<BTreeMap<String, u8>>,
    living: Mutex<BTreeMap<String, u8>>,
    wrong: Mutex<Vec<String>>,
    killed: AtomicU32,
}

struct Shared(Arc<World>);

impl Machine for Shared {
    fn clear(&mut self, dead: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        for cell in dead {
            if self.0.living.lock().unwrap().contains_key(cell) {
                self.0.wrong.lock().unwrap().push(format!("{cell} lives and was cleared"));
            }
            thread::yield_now();
            self.0.rules.lock().unwrap().remove(cell);
        }
        Ok(BTreeSet::new())
    }

    fn addresses(&mut self) -> Result<Vec<(Ipv4Addr, u8)>, Error> {
        Ok(Vec::new())
    }
}

impl World {
    /// A life of `cell`: it claims, makes its rules, finds them there, and ends in order or is
    /// killed with its rules in place.
    fn life(self: &Arc<Self>, dir: &Path, cell: &str, orderly: bool) {
        let claim = Claim::take(dir, cell, Range::default(), &mut Shared(Arc::clone(self)));
        // Told at the end: others wait for this thread before each round.
        let claim = match claim {
            Ok(claim) => claim,
            Err(error) => return self.wrong.lock().unwrap().push(format!("{cell}: {error}")),
        };
        let n = claim.block().number();
        let before = {
            let mut living = self.living.lock().unwrap();
            let twice = living.values().any(|other| *other == n);
            living.insert(cell.to_owned(), n);
            twice
        };
        if before {
            self.wrong.lock().unwrap().push(format!("block {n} of {cell} has two holders"));
        }
        self.rules.lock().unwrap().insert(cell.to_owned(), n);
        for _ in 0..20 {
            thread::yield_now();
            if self.rules.lock().unwrap().get(cell) != Some(&n) {
                self.wrong.lock().unwrap().push(format!("the rules of {cell} are gone"));
            }
        }
        if orderly {
            self.rules.lock().unwrap().remove(cell);
        } else {
            self.killed.fetch_add(1, Ordering::Relaxed);
        }
        self.living.lock().unwrap().remove(cell);
        drop(claim);
    }
}

#[test]
fn eight_platforms_start_at_once_many_times_over() {
    const ROUNDS: u32 = 40;
    let dir = tempfile::tempdir().unwrap();
    let world = Arc::new(World::default());
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8_u32)
        .map(|number| {
            let (world, barrier) = (Arc::clone(&world), Arc::clone(&barrier));
            let dir: PathBuf = dir.path().to_owned();
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    barrier.wait();
                    // Half of them come back as themselves, half are new each time.
                    let cell = if number < 4 { number } else { 0x100 + round * 8 + number };
                    world.life(&dir, &format!("{cell:06x}"), (round + number).is_multiple_of(3));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*world.wrong.lock().unwrap(), Vec::<String>::new());
    assert!(world.killed.load(Ordering::Relaxed) > 100);
    // One more, and nothing of all the killed is left.
    world.life(dir.path(), "ffffff", true);
    assert_eq!(*world.rules.lock().unwrap(), BTreeMap::new());
}
