//! The sources of the screen: which of them, in which order, in how many columns.

use std::{cmp::Ordering, net::IpAddr};

use ipnet::IpNet;

use super::super::output::{short, span};
use crate::control::api::TopSource;

/// A column of the table of sources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Column {
    /// Its address.
    Source,
    /// Its part of all sampled drops.
    Share,
    /// Packets a second, estimated.
    Rate,
    /// Why its last packet was dropped.
    Reason,
    /// The class of that packet.
    Class,
    /// Where that packet came in.
    Interface,
    /// How long ago that was.
    Seen,
}

/// In the order of the screen.
const ALL: [Column; 7] = [
    Column::Source,
    Column::Share,
    Column::Rate,
    Column::Reason,
    Column::Class,
    Column::Interface,
    Column::Seen,
];
/// In the order in which they are given up last.
const BY_WORTH: [Column; 7] = [
    Column::Source,
    Column::Rate,
    Column::Reason,
    Column::Seen,
    Column::Share,
    Column::Class,
    Column::Interface,
];
/// What sources are sorted by, one after the other.
const SORTS: [Column; 6] =
    [Column::Share, Column::Seen, Column::Source, Column::Reason, Column::Class, Column::Interface];

impl Column {
    /// What stands above it.
    pub(super) const fn heading(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Share => "SHARE",
            Self::Rate => "PKT/S",
            Self::Reason => "REASON",
            Self::Class => "CLASS",
            Self::Interface => "IN BY",
            Self::Seen => "SEEN",
        }
    }

    /// Whether it holds numbers.
    pub(super) const fn is_right(self) -> bool {
        matches!(self, Self::Share | Self::Rate | Self::Seen)
    }

    /// What it says of a source.
    pub(super) fn cell(self, source: &TopSource) -> String {
        match self {
            Self::Source => source.source.to_string(),
            Self::Share => format!("{:.1}%", source.share * 100.0),
            Self::Rate => short(source.packets_per_second),
            Self::Reason => source.reason.clone(),
            Self::Class => source.class.clone(),
            Self::Interface => source.interface.clone(),
            Self::Seen => span(source.last_seen_seconds),
        }
    }

    /// The next one to sort by.
    pub(super) fn next(self) -> Self {
        let at = SORTS.iter().position(|&column| column == self).map_or(0, |at| at + 1);
        SORTS[at % SORTS.len()]
    }

    /// Most first where that is what one looks for, otherwise by name.
    fn compare(self, a: &TopSource, b: &TopSource) -> Ordering {
        match self {
            Self::Source => a.source.cmp(&b.source),
            Self::Share | Self::Rate => b.share.total_cmp(&a.share),
            Self::Reason => a.reason.cmp(&b.reason),
            Self::Class => a.class.cmp(&b.class),
            Self::Interface => a.interface.cmp(&b.interface),
            Self::Seen => a.last_seen_seconds.total_cmp(&b.last_seen_seconds),
        }
    }
}

/// The columns that fit into `width` cells with a space between, each with its own width.
pub(super) fn columns(sources: &[&TopSource], width: u16) -> Vec<(Column, u16)> {
    let wanted = |column: Column| {
        let cells = sources.iter().map(|source| column.cell(source).chars().count());
        // Room for the mark of what is sorted by.
        cells.max().unwrap_or(0).max(column.heading().len() + 1) as u16
    };
    let mut left = width;
    let mut fitting = Vec::new();
    for column in BY_WORTH {
        let wanted = wanted(column) + u16::from(!fitting.is_empty());
        if wanted <= left {
            left -= wanted;
            fitting.push((column, wanted - u16::from(!fitting.is_empty())));
        } else if fitting.is_empty() {
            return vec![(column, width)];
        }
    }
    ALL.iter().filter_map(|&column| fitting.iter().find(|(found, _)| *found == column).copied()).collect()
}

/// Those that pass the filter, in order.
pub(super) fn chosen<'a>(
    sources: &'a [TopSource],
    filter: &str,
    sort: Column,
    reversed: bool,
) -> Vec<&'a TopSource> {
    let mut chosen: Vec<_> = sources.iter().filter(|source| passes(source, filter)).collect();
    chosen.sort_by(|a, b| {
        let order = sort.compare(a, b).then(b.share.total_cmp(&a.share));
        if reversed { order.reverse() } else { order }
    });
    chosen
}

/// A prefix takes what lies within it, anything else what contains it.
fn passes(source: &TopSource, filter: &str) -> bool {
    let filter = filter.trim();
    if let Some(prefix) =
        filter.parse::<IpNet>().ok().or_else(|| filter.parse::<IpAddr>().ok().map(IpNet::from))
    {
        return prefix.contains(&source.source);
    }
    let filter = filter.to_ascii_lowercase();
    let has = |text: &str| text.to_ascii_lowercase().contains(&filter);
    has(&source.source.to_string())
        || [&source.reason, &source.class, &source.interface].into_iter().any(|text| has(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn source(address: &str, share: f64, reason: &str) -> TopSource {
        TopSource {
            source: address.parse().unwrap(),
            share,
            packets_per_second: share * 1e6,
            reason: reason.to_owned(),
            class: "web".to_owned(),
            interface: "eth0".to_owned(),
            last_seen_seconds: 1.0 - share,
        }
    }

    #[test]
    fn columns_are_given_up_by_worth_and_never_wider_than_the_screen() {
        let sources = [source("2001:db8:1234:5678:9abc:def0:1234:5678", 0.5, "source-connections")];
        let sources: Vec<_> = sources.iter().collect();
        for width in 0..140 {
            let columns = columns(&sources, width);
            let total: u16 = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(total <= width + 1, "{columns:?} in {width}");
            assert_eq!(columns[0].0, Column::Source);
        }
        assert_eq!(columns(&sources, 120).len(), 7);
        let narrow: Vec<_> = columns(&sources, 48).into_iter().map(|(column, _)| column).collect();
        assert_eq!(narrow, [Column::Source, Column::Rate]);
    }

    #[test]
    fn a_filter_takes_prefixes_and_parts_of_names() {
        let sources = [source("198.51.100.7", 0.5, "ban"), source("203.0.113.9", 0.2, "total-packets")];
        let found = |filter: &str| chosen(&sources, filter, Column::Share, false).len();
        assert_eq!(found(""), 2);
        assert_eq!(found("198.51.100.0/24"), 1);
        assert_eq!(found("113"), 1);
        assert_eq!(found("TOTAL"), 1);
        assert_eq!(found("2001:db8::/32"), 0);
        let reversed = chosen(&sources, "", Column::Share, true);
        assert_eq!(reversed[0].reason, "total-packets");
    }
}
