//! How an amount came about, in words and figures: from usage through each step.

use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::{compute::ComputeError, period::Period, run::Run, statement, waterfall::Kind};

/// Tells how a payee's amounts for a track came about in a run. Empty: the payee has nothing of the
/// track there.
///
/// # Errors
/// The database's, or sums with more digits than are computed with.
pub async fn explain(
    conn: &mut PgConnection,
    run: &Run,
    payee: i32,
    track: i32,
) -> Result<Vec<String>, ComputeError> {
    let parts = sqlx::query!(
        r#"select t.usage_month, t.split_version, t.title, t.isrc, t.release_title, t.owner_id, t.revenue,
               t.streams, t.downloads, t.set_aside_why, t.shares, u.full_name as "owner?"
           from worker.royalty_tracks t
           left join public.users u on u.id = t.owner_id
           where t.run_id = $1 and t.track_id = $2
           order by t.usage_month, t.split_version"#,
        run.id,
        track,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut told = Vec::new();
    let currency = &run.currency;
    for part in parts {
        let month = Period::of(part.usage_month);
        told.push(format!(
            "\"{}\"{} of \"{}\", track {track}, usage of {month}{}",
            part.title,
            part.isrc
                .map(|isrc| format!(" ({isrc})"))
                .unwrap_or_default(),
            part.release_title
                .unwrap_or_else(|| "no release".to_owned()),
            if month == run.period {
                ""
            } else {
                ", which came late or was corrected"
            },
        ));
        told.extend(usage(conn, run, month, track, part.split_version).await?);
        told.push(format!(
            "  together: {} streams, {} downloads, {} {currency}{}",
            part.streams,
            part.downloads,
            part.revenue,
            if run.is_revision() {
                " (all of the month: this is a correction)"
            } else {
                ""
            },
        ));
        if let Some(why) = part.set_aside_why {
            told.push(format!("  it is set aside: {why}"));
            continue;
        }
        told.push(match part.split_version {
            0 => format!(
                "  no shares held: what is left goes to the owner, user {} ({})",
                part.owner_id,
                part.owner.unwrap_or_default()
            ),
            version => format!(
                "  the shares that held are version {version}: {}",
                shares(&part.shares)
            ),
        });
        told.extend(entries(conn, run, month, track, part.split_version, payee).await?);
    }
    if !told.is_empty() {
        told.extend(steps(conn, run, payee).await?);
    }
    Ok(told)
}

/// Usage by platform and territory, the dearest first.
async fn usage(
    conn: &mut PgConnection,
    run: &Run,
    month: Period,
    track: i32,
    version: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let lines = sqlx::query!(
        r#"select l.territory, l.is_download, l.currency, l.streams, l.downloads, l.revenue, l.original,
               l.lowest_rate, l.highest_rate, l.is_estimated, l.platform_id, p.name as "name?"
           from worker.royalty_lines l left join public.distribution_platforms p on p.id = l.platform_id
           where l.run_id = $1 and l.usage_month = $2 and l.track_id = $3 and l.split_version = $4
           order by l.revenue desc, l.platform_id, l.territory limit 100"#,
        run.id,
        month.first_day(),
        track,
        version,
    )
    .fetch_all(conn)
    .await?;
    Ok(lines
        .into_iter()
        .map(|line| {
            let platform = line.name.unwrap_or_else(|| match line.platform_id {
                0 => "unknown platform".to_owned(),
                id => format!("platform {id}"),
            });
            let count = match line.is_download {
                true => format!("{} downloads", line.downloads),
                false => format!("{} streams", line.streams),
            };
            let mut told = format!(
                "    {platform}, {}: {count}, {} {}",
                line.territory, line.revenue, run.currency
            );
            if let Some(original) = line.original {
                told.push_str(&format!(" (reported: {original} {}", line.currency));
                match (line.lowest_rate, line.highest_rate) {
                    (Some(low), Some(high)) if low == high => told.push_str(&format!(" at {low}")),
                    (Some(low), Some(high)) => {
                        told.push_str(&format!(" at {low} to {high}, day by day"))
                    }
                    _ => {}
                }
                told.push(')');
            }
            if line.is_estimated {
                told.push_str(" (estimated: streams times the platform's rate)");
            }
            told
        })
        .collect())
}

fn shares(shares: &serde_json::Value) -> String {
    let shares = shares.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |share: &serde_json::Value, key: &str| match share.get(key) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let told: Vec<String> = shares
        .iter()
        .map(|share| {
            let of = |key| text(share, key);
            format!(
                "user {} {} % ({}{})",
                of("user_id"),
                of("percentage"),
                of("status"),
                if of("split_type") == "royalty" {
                    String::new()
                } else {
                    format!(", {}, does not count", of("split_type"))
                },
            )
        })
        .collect();
    told.join(", ")
}

/// All entries of the track, with the payee's marked.
async fn entries(
    conn: &mut PgConnection,
    run: &Run,
    month: Period,
    track: i32,
    version: i64,
    payee: i32,
) -> Result<Vec<String>, ComputeError> {
    let entries = sqlx::query!(
        r#"select s.payee_id, s.kind, s.percentage, s.amount, u.full_name as "name?"
           from worker.royalty_shares s left join public.users u on u.id = s.payee_id
           where s.run_id = $1 and s.usage_month = $2 and s.track_id = $3 and s.split_version = $4"#,
        run.id,
        month.first_day(),
        track,
        version,
    )
    .fetch_all(conn)
    .await?;
    let mut entries: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| Some((Kind::named(&entry.kind)?, entry)))
        .collect();
    entries.sort_by_key(|(kind, entry)| (*kind, entry.payee_id));
    Ok(entries
        .into_iter()
        .map(|(kind, entry)| {
            let mark = if entry.payee_id == payee { "=>" } else { "  " };
            let who = match entry.payee_id {
                super::HOUSE => "the house".to_owned(),
                id => format!("user {id} ({})", entry.name.unwrap_or_default()),
            };
            format!(
                "  {mark} {}, {} % of what was left, to {who}: {} {}",
                kind.label(),
                entry.percentage.normalize(),
                entry.amount,
                run.currency
            )
        })
        .collect())
}

/// What became of everything that the payee earned in the run.
async fn steps(
    conn: &mut PgConnection,
    run: &Run,
    payee: i32,
) -> Result<Vec<String>, ComputeError> {
    let statement = statement::statement(conn, run, payee).await?;
    let currency = &run.currency;
    let mut told = vec![format!(
        "All that user {payee} ({}) has in the run of {}:",
        statement.payee_name,
        run.name()
    )];
    told.extend(
        statement
            .summary
            .iter()
            .filter(|line| line.amount != Decimal::ZERO)
            .map(|line| format!("  {}: {} {currency}", line.kind.label(), line.amount)),
    );
    told.push(format!("  payable: {} {currency}", statement.payable));
    Ok(told)
}
