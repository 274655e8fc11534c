//! Makes a question that shows a difference smaller, until every part of it is needed.

use super::host::Host;
use super::oracle::Question;

/// The smallest question found for which `differs` still holds.
pub fn reduce(mut question: Question, mut differs: impl FnMut(&Question) -> bool) -> Question {
    let mut attempt = |smaller: Question, question: &mut Question| {
        let shows = differs(&smaller);
        if shows {
            *question = smaller;
        }
        shows
    };
    for index in (0..question.references.len()).rev() {
        let mut smaller = question.clone();
        smaller.references.remove(index);
        attempt(smaller, &mut question);
    }
    for name in question.host.drop_ins.keys().cloned().collect::<Vec<_>>() {
        let mut smaller = question.clone();
        smaller.host.drop_ins.remove(&name);
        attempt(smaller, &mut question);
    }
    for file in 0..files(&mut question.host).len() {
        let mut size = files(&mut question.host)[file].len().div_ceil(2);
        while size > 0 {
            let mut start = 0;
            while start < files(&mut question.host)[file].len() {
                let mut smaller = question.clone();
                let bytes = &mut *files(&mut smaller.host)[file];
                bytes.drain(start..(start + size).min(bytes.len()));
                if !attempt(smaller, &mut question) {
                    start += size;
                }
            }
            size /= 2;
        }
    }
    question
}

/// The files of a host, to change them.
pub fn files(host: &mut Host) -> Vec<&mut Vec<u8>> {
    host.drop_ins.values_mut().chain(&mut host.registries).chain(&mut host.policy).collect()
}
