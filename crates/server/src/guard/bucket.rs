//! A token bucket: so many a second, and a few more at once.

use std::time::Instant;

/// Tokens, and when they were counted last.
#[derive(Debug)]
pub(crate) struct Bucket {
    rate: f64,
    most: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    pub(crate) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let most = f64::from(burst);
        Self { rate: f64::from(rate), most, tokens: most, counted: now }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.most);
        self.counted = self.counted.max(now);
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_gives_a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        assert_eq!((0..5).filter(|_| bucket.take(start)).count(), 3);
        let later = start + Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| bucket.take(later)).count(), 2);
        // However long nobody came, no more than the burst.
        let much_later = start + Duration::from_secs(1_000);
        assert_eq!((0..9).filter(|_| bucket.take(much_later)).count(), 3);
        // A clock that was read earlier takes nothing back.
        assert!(!bucket.take(start));
    }
}
