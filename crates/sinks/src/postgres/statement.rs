//! The statements. Invariant: they are made of the settings and of types that the server named; values of records are
//! parameters, all of them text, and the server casts them to the types of the columns.

use super::config::{OnConflict, PostgresConfig};
use crate::{Column, ColumnType, Identifier};

/// Which columns a table has, with their types as a cast takes them. Without their lengths: an explicit cast to
/// `varchar(5)` would cut the rest off in silence, the assignment refuses it.
pub(super) const DESCRIBE: &str = "SELECT attname::text, format_type(atttypid, -1) FROM pg_attribute \
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";

/// Only one of several workers that start together creates the table; any number does that is always the same.
const CREATE_LOCK: i64 = 0x7469_6465_6d69_6c6c;

pub(super) fn create(config: &PostgresConfig) -> String {
    let is_key = |column: &Column| config.key.contains(&column.name);
    let columns = config.columns.iter().map(|column| {
        let not_null = if is_key(column) { " NOT NULL" } else { "" };
        format!("{} {}{not_null}", column.name.quoted(), type_name(column.kind()))
    });
    let mut parts: Vec<String> = columns.collect();
    if !config.key.is_empty() {
        parts.push(format!("UNIQUE ({})", list(&config.key)));
    }
    format!(
        "BEGIN; SELECT pg_advisory_xact_lock({CREATE_LOCK}); CREATE TABLE IF NOT EXISTS {} ({}); COMMIT",
        config.table.quoted(),
        parts.join(", ")
    )
}

/// `types` are those of the table, in the order of the settings' columns.
pub(super) fn insert(config: &PostgresConfig, types: &[String]) -> String {
    let names: Vec<&Identifier> = config.columns.iter().map(|column| &column.name).collect();
    let values: Vec<String> = types.iter().enumerate().map(|(at, name)| format!("v.c{at}::{name}")).collect();
    let aliases: Vec<String> = (0..types.len()).map(|at| format!("c{at}")).collect();
    let arrays: Vec<String> = (1..=types.len()).map(|at| format!("${at}::text[]")).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS v({}){}",
        config.table.quoted(),
        list(names.iter().copied()),
        values.join(", "),
        arrays.join(", "),
        aliases.join(", "),
        on_conflict(config),
    )
}

fn on_conflict(config: &PostgresConfig) -> String {
    if config.key.is_empty() {
        return String::new();
    }
    let others = config.columns.iter().filter(|column| !config.key.contains(&column.name));
    let updates: Vec<String> =
        others.map(|column| column.name.quoted()).map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    let action = match config.on_conflict {
        OnConflict::Update if !updates.is_empty() => format!("UPDATE SET {}", updates.join(", ")),
        OnConflict::Update | OnConflict::Nothing => "NOTHING".to_owned(),
    };
    format!(" ON CONFLICT ({}) DO {action}", list(&config.key))
}

fn list<'a>(names: impl IntoIterator<Item = &'a Identifier>) -> String {
    names.into_iter().map(Identifier::quoted).collect::<Vec<_>>().join(", ")
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Json => "jsonb",
        ColumnType::Bytes => "bytea",
        ColumnType::Boolean => "boolean",
        ColumnType::Integer => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Time => "timestamptz",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ColumnSource;

    fn config(key: &[&str]) -> PostgresConfig {
        let name = |name: &str| Identifier::new(name).unwrap();
        let columns = vec![
            Column::new(name("id"), ColumnSource::IdempotencyKey),
            Column::new(name("select"), ColumnSource::Field("/n".into())).of_type(ColumnType::Integer),
        ];
        let key = key.iter().map(|key| name(key)).collect();
        PostgresConfig::new("localhost", "d", "u", name("plant.Readings")).columns(columns, key)
    }

    #[test]
    fn a_statement_has_quoted_names_and_parameters_alone() {
        let types = ["text".to_owned(), "bigint".to_owned()];
        let base = r#"INSERT INTO "plant"."Readings" ("id", "select") SELECT v.c0::text, v.c1::bigint FROM unnest($1::text[], $2::text[]) AS v(c0, c1)"#;
        assert_eq!(insert(&config(&[]), &types), base);
        assert_eq!(insert(&config(&["id"]), &types), format!(r#"{base} ON CONFLICT ("id") DO NOTHING"#));
        let update = config(&["id"]).on_conflict(OnConflict::Update);
        let set = r#"ON CONFLICT ("id") DO UPDATE SET "select" = EXCLUDED."select""#;
        assert_eq!(insert(&update, &types), format!("{base} {set}"));
        let nothing_else = config(&["id", "select"]).on_conflict(OnConflict::Update);
        assert!(insert(&nothing_else, &types).ends_with(r#"ON CONFLICT ("id", "select") DO NOTHING"#));
    }

    #[test]
    fn a_table_is_created_with_its_key() {
        let text = create(&config(&["id"]));
        let table =
            r#"CREATE TABLE IF NOT EXISTS "plant"."Readings" ("id" text NOT NULL, "select" bigint, UNIQUE ("id"))"#;
        assert!(text.contains(table), "{text}");
    }
}
