//! How many events a lane may publish now: a bucket that fills at the rate, and holds a tenth of a second's worth.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: 1.0, filled: now }
    }

    /// How many events may go now, or when the next may.
    pub(super) fn available(&mut self, rate: f64, now: Instant) -> Result<usize, Instant> {
        let gained = now.saturating_duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min((rate / 10.0).max(1.0));
        self.filled = now;
        if self.tokens >= 1.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1")]
            return Ok(self.tokens as usize);
        }
        // A rate of next to nothing is one of once an hour.
        let wait = ((1.0 - self.tokens) / rate).clamp(0.000_1, 3_600.0);
        Err(now + Duration::from_secs_f64(wait))
    }

    pub(super) fn spend(&mut self, events: usize) {
        self.tokens -= events as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_any_second_no_more_than_the_rate_goes_out_after_the_first_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match bucket.available(100.0, now) {
                Ok(count) => {
                    bucket.spend(count);
                    sent += count;
                    now += Duration::from_millis(1);
                }
                Err(next) => now = next,
            }
        }
        assert!((990..=1_011).contains(&sent), "{sent}");
    }

    #[test]
    fn less_than_one_a_second_is_a_rate_too() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.available(0.1, start), Ok(1));
        bucket.spend(1);
        let next = bucket.available(0.1, start).unwrap_err();
        assert_eq!((next - start).as_secs(), 10);
    }
}
