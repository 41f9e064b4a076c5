//! "Did you mean": the one distance that every hint uses.

/// The candidate that is close enough to `word` to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let fields = ["memory_bytes", "cpu_shares", "max_pids"];
        assert_eq!(nearest("memroy_bytes", fields), Some("memory_bytes"));
        assert_eq!(nearest("maxpids", fields), Some("max_pids"));
        assert_eq!(nearest("zzz", fields), None);
    }
}
