//! Addresses and parameters of stores that speak HTTP, where a value is put into the path of a request to one: CouchDB, Elasticsearch, Solr, Firebase.

use super::{Best, Class, contains};

/// Segments that only a store has, by which it lists, copies or sets up what it holds.
const ENDPOINTS: [&[u8]; 18] = [
    b"_all_docs",
    b"_all_dbs",
    b"_local_docs",
    b"_design",
    b"_changes",
    b"_users",
    b"_replicator",
    b"_replicate",
    b"_utils",
    b"_config",
    b"_node",
    b"_nodes",
    b"_membership",
    b"_active_tasks",
    b"_bulk_docs",
    b"_cat",
    b"_cluster",
    b"_snapshot",
];
/// Segments that others may have too: behind an upward step, or with a store's parameters.
const COMMON: [&[u8]; 9] = [
    b"_search",
    b"_msearch",
    b"_bulk",
    b"_security",
    b"_mapping",
    b"_all",
    b"_delete_by_query",
    b"_update_by_query",
    b"_reindex",
];

pub(super) fn judge(lower: &[u8], best: &mut Best) {
    if lower.len() <= 256 && !lower.iter().any(|byte| *byte <= b' ') && endpoint(lower)
        || lower.len() <= 512 && parameters(lower)
    {
        best.add(Class::NoSql, "nosql-path", 70);
    }
}

/// A path that leads to one: from the root, upward, or as the value begins.
fn endpoint(lower: &[u8]) -> bool {
    let path = &lower[..lower.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(lower.len())];
    let parameters = &lower[path.len()..];
    let asked = [&b"?q="[..], b"?source=", b"?_source=", b"&_source=", b"?pretty", b"?size="]
        .iter()
        .any(|name| contains(parameters, name));
    let mut up = false;
    let mut before = None;
    for (number, segment) in path.split(|byte| *byte == b'/').enumerate() {
        up |= segment == b"..";
        // `/api/_config/x` is a path of an application's own; a store has the segment behind the name of a database at most.
        let near = up || number == 0 && lower.len() > segment.len() || number <= 2 && path.starts_with(b"/");
        let only = ENDPOINTS.contains(&segment)
            && near
            && (up || number < 2 || before == Some(&b"_users"[..]) || parameters.len() > 1);
        if only || COMMON.contains(&segment) && (up || asked && near) {
            return true;
        }
        before = Some(segment);
    }
    false
}

/// Parameters behind a `&` of the value's own, or a document of Firebase's with its filters.
fn parameters(lower: &[u8]) -> bool {
    let solr = [&b"stream.url="[..], b"stream.body=", b"stream.file=", b"v.template.custom=", b"shards=http"];
    if solr.iter().any(|name| contains(lower, name)) || contains(lower, b"/admin/cores?action=") {
        return true;
    }
    let firebase = contains(lower, b".json?")
        && [&b"orderby=\"$"[..], b"shallow=true", b"&startat=\"", b"?auth=&"]
            .iter()
            .any(|name| contains(lower, name));
    firebase || contains(lower, b"/.settings/rules.json")
}
