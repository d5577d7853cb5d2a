//! Does this payload say that it is JSON?

/// Whether a MIME type says JSON, parameters aside.
pub(super) fn is_content_type(content_type: &str) -> bool {
    let essence = content_type.split_once(';').map_or(content_type, |(essence, _)| essence).trim();
    let suffix = essence.rsplit_once('+').map(|(_, suffix)| suffix);
    essence.eq_ignore_ascii_case("application/json") || suffix.is_some_and(|it| it.eq_ignore_ascii_case("json"))
}
