//! How often each file was put right of late (rule H9).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Within this time so many heals of one file are enough.
const WINDOW: Duration = Duration::from_secs(600);
const MOST: usize = 5;

/// The heals of late, by file.
#[derive(Debug, Default)]
pub struct Heals(BTreeMap<PathBuf, Vec<Instant>>);

impl Heals {
    /// Whether somebody keeps changing `path`: it is left alone until the window has passed.
    #[must_use]
    pub fn is_contested(&self, path: &Path, now: Instant) -> bool {
        self.0.get(path).is_some_and(|times| of_late(times, now).count() >= MOST)
    }

    /// Remembers a heal.
    pub fn record(&mut self, path: &Path, now: Instant) {
        let times = self.0.entry(path.to_owned()).or_default();
        *times = of_late(times, now).chain([now]).collect();
    }

    /// Forgets all: somebody asked for a retry.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn of_late(times: &[Instant], now: Instant) -> impl Iterator<Item = Instant> {
    times.iter().copied().filter(move |time| now.duration_since(*time) < WINDOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h9_after_five_heals_in_ten_minutes_a_file_is_contested_until_they_are_old() {
        let (mut heals, start) = (Heals::default(), Instant::now());
        let path = Path::new("/etc/containers/policy.json");
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for minute in 0..5 {
            assert!(!heals.is_contested(path, at(minute)));
            heals.record(path, at(minute));
        }
        assert!(heals.is_contested(path, at(5)));
        assert!(!heals.is_contested(Path::new("/etc/containers/registries.conf"), at(5)));
        assert!(!heals.is_contested(path, at(10)));
    }
}
