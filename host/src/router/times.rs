//! When a route takes events.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::config::settings::{self, Day};

const MINUTE: u64 = 60_000;

/// Stretches of the day and the week, each in its time zone. Without any, always.
#[derive(Debug, Default)]
pub struct Times {
    stretches: Vec<Stretch>,
    /// The last minute that was asked for, and the answer in the lowest bit: events come by the thousand in one.
    last: AtomicU64,
}

#[derive(Debug)]
struct Stretch {
    days: Vec<Day>,
    from: u16,
    to: u16,
    zone: TimeZone,
}

impl Times {
    /// Prepares the `times` of a route.
    pub fn new(times: &[settings::Times]) -> Self {
        let stretch = |times: &settings::Times| Stretch {
            days: times.days.clone(),
            from: times.from.0,
            to: times.to.0,
            zone: times.zone.0.clone(),
        };
        Self { stretches: times.iter().map(stretch).collect(), last: AtomicU64::new(u64::MAX) }
    }

    /// Whether that moment, Unix milliseconds, is in one of them.
    pub fn contain(&self, at_ms: u64) -> bool {
        if self.stretches.is_empty() {
            return true;
        }
        let minute = at_ms / MINUTE;
        let last = self.last.load(Ordering::Relaxed);
        if last >> 1 == minute {
            return last & 1 == 1;
        }
        let contain = self.stretches.iter().any(|stretch| stretch.contains(at_ms));
        self.last.store(minute << 1 | u64::from(contain), Ordering::Relaxed);
        contain
    }
}

impl Stretch {
    fn contains(&self, at_ms: u64) -> bool {
        let Ok(at) =
            i64::try_from(at_ms).map_err(drop).and_then(|at| Timestamp::from_millisecond(at).map_err(drop))
        else {
            return false;
        };
        let local = self.zone.to_datetime(at);
        // One that goes past midnight may have begun yesterday.
        let yesterday = local.date().checked_sub(1.day());
        [Some(local.date()), yesterday.ok()].into_iter().flatten().any(|date| self.of(date, at))
    }

    /// Whether the moment is in the stretch that begins on that date. By moments, not by what the clock shows: it shows an
    /// hour twice when summer ends.
    fn of(&self, date: Date, at: Timestamp) -> bool {
        let wanted = self.days.is_empty() || self.days.contains(&day(date.weekday()));
        let ends = if self.to > self.from { Some(date) } else { date.checked_add(1.day()).ok() };
        let bounds = self.moment(date, self.from).zip(ends.and_then(|date| self.moment(date, self.to)));
        wanted && bounds.is_some_and(|(from, to)| (from..to).contains(&at))
    }

    fn moment(&self, date: Date, minutes: u16) -> Option<Timestamp> {
        let (date, minutes) =
            if minutes == 24 * 60 { (date.checked_add(1.day()).ok()?, 0) } else { (date, minutes) };
        let number = |minutes: u16| i8::try_from(minutes).ok();
        let time = Time::new(number(minutes / 60)?, number(minutes % 60)?, 0, 0).ok()?;
        self.zone.to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok()
    }
}

fn day(day: Weekday) -> Day {
    match day {
        Weekday::Monday => Day::Mon,
        Weekday::Tuesday => Day::Tue,
        Weekday::Wednesday => Day::Wed,
        Weekday::Thursday => Day::Thu,
        Weekday::Friday => Day::Fri,
        Weekday::Saturday => Day::Sat,
        Weekday::Sunday => Day::Sun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(yaml: &str, at: &str) -> bool {
        let at: Timestamp = at.parse().unwrap();
        let times = Times::new(&serde_saphyr::from_str::<Vec<settings::Times>>(yaml).unwrap());
        let at_ms = u64::try_from(at.as_millisecond()).unwrap();
        assert_eq!(times.contain(at_ms), times.contain(at_ms), "the answer that is kept is the same");
        times.contain(at_ms)
    }

    #[test]
    fn a_stretch_has_its_days_and_its_time_zone() {
        // 2026-11-26 is a Thursday.
        let office = "[{days: [mon, tue, wed, thu, fri], from: '08:00', to: '18:00', zone: Europe/Berlin}]";
        assert!(contain(office, "2026-11-26T07:00:00Z"), "08:00 in Berlin");
        assert!(!contain(office, "2026-11-26T06:59:59Z"));
        assert!(!contain(office, "2026-11-26T17:00:00Z"), "18:00 is not in it");
        assert!(contain(office, "2026-07-02T06:30:00Z"), "08:30 in summer");
        assert!(!contain(office, "2026-11-28T10:00:00Z"), "a Saturday");
        assert!(contain("[]", "2026-11-28T10:00:00Z"));
        assert!(contain("[{}]", "2026-11-28T23:59:59Z"), "whole days");
    }

    #[test]
    fn a_stretch_may_go_past_midnight() {
        let night = "[{days: [fri], from: '22:00', to: '06:00'}]";
        assert!(contain(night, "2026-11-27T22:00:00Z"), "Friday");
        assert!(contain(night, "2026-11-28T05:59:00Z"), "the morning after");
        assert!(!contain(night, "2026-11-27T05:59:00Z"), "the morning before belongs to Thursday");
        assert!(!contain(night, "2026-11-28T22:00:00Z"));
        let two = "[{days: [sat], to: '12:00'}, {days: [sun]}]";
        assert!(contain(two, "2026-11-28T11:00:00Z") && !contain(two, "2026-11-28T12:00:00Z"));
        assert!(contain(two, "2026-11-29T23:00:00Z"));
    }

    #[test]
    fn an_hour_that_the_clock_shows_twice_is_in_it_twice() {
        // Summer ends in Berlin at 01:00 UTC on 2026-10-25: 02:00 to 03:00 comes twice.
        let hour = "[{from: '02:00', to: '03:00', zone: Europe/Berlin}]";
        assert!(contain(hour, "2026-10-25T00:30:00Z") && contain(hour, "2026-10-25T01:30:00Z"));
        assert!(!contain(hour, "2026-10-25T02:00:00Z"));
    }
}
