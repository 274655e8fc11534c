//! Which of several sources is obeyed (rule E1).

use std::time::Duration;

/// How a source stands, as far as that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it has ever given documents that could be used; what it gave last is on disk.
    pub has_given: bool,
    /// Whether its first answer is still to come.
    pub is_pending: bool,
    /// For how long it has given nothing that could be used; none while all is well.
    pub silent_for: Option<Duration>,
}

/// The place in `order` of the source that is obeyed: the first that has ever given anything,
/// unless it has been silent for `fallback_after`; a lower one then has to have given something.
/// One whose first answer is still to come is waited for, however long it was silent before: it is
/// not known yet to give nothing.
/// Where none has given anything, the first, whose trouble is what people want to know of.
#[must_use]
pub fn choose(order: &[Standing], fallback_after: Option<Duration>) -> usize {
    let is_given_up = |standing: &Standing| match (standing.silent_for, fallback_after) {
        (Some(silent), Some(most)) => silent >= most,
        _ => false,
    };
    let is_obeyed =
        |source: &Standing| source.is_pending || (source.has_given && !is_given_up(source));
    let lasting = order.iter().position(is_obeyed);
    lasting.or_else(|| order.iter().position(|source| source.has_given)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Standing =
        Standing { has_given: false, is_pending: false, silent_for: Some(Duration::MAX) };
    const WELL: Standing = Standing { has_given: true, is_pending: false, silent_for: None };

    fn silent(seconds: u64) -> Standing {
        Standing { silent_for: Some(Duration::from_secs(seconds)), ..WELL }
    }

    #[test]
    fn e1_the_last_good_bundle_of_a_higher_source_outranks_every_lower_one() {
        assert_eq!(choose(&[WELL, WELL], None), 0);
        assert_eq!(choose(&[silent(1_000_000), WELL], None), 0);
        assert_eq!(choose(&[silent(59), WELL], Some(Duration::from_secs(60))), 0);
    }

    #[test]
    fn e1_a_lower_one_serves_where_the_higher_has_never_given_anything() {
        assert_eq!(choose(&[NEVER, WELL], None), 1);
        assert_eq!(choose(&[NEVER, NEVER, silent(5)], None), 2);
        assert_eq!(choose(&[NEVER, NEVER], None), 0);
        // Not before it is known that it gives nothing.
        let pending = Standing { is_pending: true, ..NEVER };
        assert_eq!(choose(&[NEVER, pending, WELL], None), 1);
    }

    #[test]
    fn e1_a_lower_one_serves_after_fallback_after_if_it_has_something_to_give() {
        let most = Some(Duration::from_secs(60));
        assert_eq!(choose(&[silent(60), WELL], most), 1);
        assert_eq!(choose(&[silent(60), NEVER], most), 0);
        // After a restart it may be well by now.
        assert_eq!(choose(&[Standing { is_pending: true, ..silent(60) }, WELL], most), 0);
        assert_eq!(choose(&[silent(60), silent(61)], most), 0);
    }
}
