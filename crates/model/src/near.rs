//! What somebody may have meant who wrote a name that there is not.

/// Letters of a name that are compared; the rest of a longer one is not looked at.
const COMPARED: usize = 64;

/// The candidate that is nearest to `name`; none when nothing is near: beyond a third of the letters
/// it is another word, not a slip.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).clamp(1, 3);
    let near = candidates.into_iter().map(|candidate| (distance(name, candidate), candidate));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, candidate)| candidate)
}

/// Letters to insert, remove or replace to make `b` of `a`, whatever their case (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(COMPARED).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("Data", "data", 0)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let known = ["hello-00001", "hello-00002", "other"];
        assert_eq!(nearest("hello-0001", known), Some("hello-00001"));
        assert_eq!(nearest("hello-00003", known), Some("hello-00001"));
        assert_eq!(nearest("goodbye-00001", known), None);
        assert_eq!(nearest("", known), None);
    }
}
