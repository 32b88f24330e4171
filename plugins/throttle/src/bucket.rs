//! A token bucket as one number: the generic cell rate algorithm (ITU-T I.371), in whole nanoseconds.

use std::time::Duration;

/// How fast tokens come back, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// How long a token takes.
    every: u64,
    /// How far ahead of now the bucket's time may be: all tokens but the one that is asked for.
    ahead: u64,
}

/// What a bucket says to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is a token. The bucket's time is this from now on.
    Taken(u64),
    /// There is none.
    Empty,
}

impl Bucket {
    /// A bucket of `burst` tokens, into which `rate` come back in each `per`.
    pub(crate) fn new(rate: u32, per: Duration, burst: u32) -> Result<Self, String> {
        if rate == 0 || burst == 0 {
            return Err("`rate` and `burst` must be at least 1; drop every event by a route instead".into());
        }
        let nanos = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let every = nanos / u64::from(rate);
        if every == 0 {
            return Err("`rate` is more than one a nanosecond; write a longer `per`, such as 1s".into());
        }
        Ok(Self { every, ahead: every.saturating_mul(u64::from(burst - 1)) })
    }

    /// Asks for a token at `now`. `time` is the bucket's own; none where it is full.
    pub(crate) fn take(self, time: Option<u64>, now: u64) -> Answer {
        let time = time.unwrap_or(now).max(now);
        if time - now > self.ahead { Answer::Empty } else { Answer::Taken(time.saturating_add(self.every)) }
    }

    /// After how long a bucket with this time is full again, and need not be kept; in whole milliseconds, as it is kept.
    pub(crate) fn full_after(time: u64, now: u64) -> Duration {
        Duration::from_millis(time.saturating_sub(now).div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// How many of the events at these times get a token.
    fn taken(bucket: Bucket, times: impl IntoIterator<Item = u64>) -> usize {
        let mut time = None;
        let mut take = |now: &u64| match bucket.take(time, *now) {
            Answer::Taken(next) => {
                time = Some(next);
                true
            }
            Answer::Empty => false,
        };
        times.into_iter().filter(|now| take(now)).count()
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let bucket = Bucket::new(2, Duration::from_secs(1), 3).unwrap();
        assert_eq!(taken(bucket, vec![7; 10]), 3, "the burst");
        assert_eq!(
            taken(bucket, (0..100).map(|n| n * SECOND / 10)),
            3 + 19,
            "ten seconds but one step, two a second"
        );
        assert_eq!(taken(bucket, [0, 0, 0, 0, SECOND / 2, SECOND / 2]), 4);
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_tokens() {
        let bucket = Bucket::new(1, Duration::from_secs(1), 1).unwrap();
        assert_eq!(taken(bucket, [10 * SECOND, 0, 5 * SECOND, 10 * SECOND, 11 * SECOND]), 2);
    }

    #[test]
    fn a_bucket_that_can_hold_nothing_is_refused() {
        assert!(Bucket::new(0, Duration::from_secs(1), 1).is_err());
        assert!(Bucket::new(1, Duration::from_secs(1), 0).is_err());
        assert!(Bucket::new(1, Duration::ZERO, 1).unwrap_err().contains("such as 1s"));
        assert!(Bucket::new(1, Duration::MAX, u32::MAX).is_ok());
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(
            rate in 1..1000_u32,
            burst in 1..100_u32,
            steps in prop::collection::vec(0..SECOND / 10, 1..500),
        ) {
            let bucket = Bucket::new(rate, Duration::from_secs(1), burst).unwrap();
            let times: Vec<u64> = steps.iter().scan(0, |now, step| { *now += step; Some(*now) }).collect();
            let long = times.last().copied().unwrap_or_default() - times[0];
            let most = u64::from(burst) + long * u64::from(rate) / (SECOND - u64::from(rate)) + 1;
            prop_assert!(taken(bucket, times) as u64 <= most);
        }

        #[test]
        fn a_bucket_that_is_full_again_is_as_one_that_was_never_used(time: u32, now: u32, later: u32) {
            let (time, now) = (u64::from(time), u64::from(now));
            let bucket = Bucket::new(100, Duration::from_secs(1), 3).unwrap();
            let at = now + Bucket::full_after(time, now).as_nanos() as u64 + u64::from(later);
            prop_assert_eq!(bucket.take(Some(time), at), bucket.take(None, at));
        }
    }
}
