//! "Did you mean ...?"

/// The candidate that `text` was probably meant to be: few letters differ, case aside. None when nothing is near.
pub(crate) fn nearest<'c>(text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    nearest_within((text.chars().take(64).count() / 3).clamp(1, 4), text, candidates)
}

/// The same where `allowed` letters may differ.
pub(crate) fn nearest_within<'c>(allowed: usize, text: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let wanted: Vec<char> = text.chars().take(64).flat_map(char::to_lowercase).collect();
    candidates
        .map(|candidate| (distance(&wanted, &candidate.chars().flat_map(char::to_lowercase).collect::<Vec<char>>()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for (column, cell) in rows.iter_mut().take(width).enumerate() {
        *cell = column;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let replaced = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[(i - 1) * width + j] + 1).min(rows[i * width + j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = best;
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_finds_none() {
        let fields = ["replicas", "selector", "template", "paused"];
        for (slip, meant) in
            [("replica", "replicas"), ("Replicas", "replicas"), ("slector", "selector"), ("tempalte", "template"), ("pasued", "paused")]
        {
            assert_eq!(nearest(slip, fields.into_iter()), Some(meant), "{slip}");
        }
        for nonsense in ["", "x", "volumes", "spec"] {
            assert_eq!(nearest(nonsense, fields.into_iter()), None, "{nonsense}");
        }
    }
}
