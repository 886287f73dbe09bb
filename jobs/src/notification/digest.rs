//! Operators' mail is gathered: the first of a topic is sent at once, what follows within a while is
//! told together in the next mail. A partner that is silent about ten thousand releases is one mail
//! an hour.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    mail::{Mail, To},
    notify::{Again, Problem, Services, Told},
};

/// The most notifications in one mail; the others follow in the next.
const MOST: i64 = 10_000;

/// When to look again while somebody else's mail is on its way.
const UNDER_WAY: TimeDelta = TimeDelta::seconds(10);

/// Another notification of the same topic that waits for the same channel.
pub(super) struct Gathered {
    id: Uuid,
    pub(super) payload: Value,
}

/// Sends a mail to an operator, with what else waits for it, and writes down that those others are
/// told; of `told` itself the caller does.
pub(super) async fn send(
    services: &Services,
    told: &Told,
    mail: &Mail,
    to: &To,
    now: DateTime<Utc>,
) -> Result<(), Problem> {
    if mail.gather_s() == 0 {
        return mail.send(told, &[], to, None).await;
    }
    let channel = to.channel();
    // One connection at a time: with two, many at once would wait for each other's.
    sqlx::query!(
        r#"insert into worker.notification_digests (channel, topic) values ($1, $2)
           on conflict (channel, topic) do nothing"#,
        channel,
        told.topic,
    )
    .execute(&services.pool)
    .await?;
    let mut tx = crate::database::begin(&services.pool, "begin").await?;
    let until = match last(&mut tx, &channel, &told.topic).await? {
        Last::At(told_at) => told_at + TimeDelta::seconds(mail.gather_s().into()),
        Last::Never => now,
        Last::UnderWay => now + UNDER_WAY,
    };
    if now < until {
        if is_told(&mut tx, told.id, &channel).await? {
            return Ok(());
        }
        return Err(Problem {
            text: format!("gathered until {}", until.format("%F %T UTC")),
            again: Again::At(until),
        });
    }
    let others = waiting(&mut tx, told, &channel).await?;
    mail.send(told, &others, to, None).await?;
    let ids: Vec<Uuid> = others.iter().map(|other| other.id).collect();
    sqlx::query!(
        r#"insert into worker.notification_sends as known (notification_id, channel, delivered_at)
           select id, $2, $3 from unnest($1::uuid[]) as told (id)
           on conflict (notification_id, channel) do update
               set tries = known.tries + 1, delivered_at = excluded.delivered_at, problem = null"#,
        &ids,
        channel,
        now,
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update worker.notification_digests set told_at = $3 where channel = $1 and topic = $2",
        channel,
        told.topic,
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// When a channel was last told of a topic.
enum Last {
    Never,
    At(DateTime<Utc>),
    /// A mail is just being sent.
    UnderWay,
}

/// Locks the topic until the transaction ends. Nobody waits for the lock: a mail may take long, and
/// connections are few.
async fn last(conn: &mut PgConnection, channel: &str, topic: &str) -> Result<Last, sqlx::Error> {
    let locked = sqlx::query_scalar!(
        r#"select told_at from worker.notification_digests
           where channel = $1 and topic = $2 for update skip locked"#,
        channel,
        topic,
    )
    .fetch_optional(conn)
    .await?;
    Ok(match locked {
        Some(Some(at)) => Last::At(at),
        Some(None) => Last::Never,
        None => Last::UnderWay,
    })
}

/// Whether a mail that has gone out meanwhile told of it.
async fn is_told(
    conn: &mut PgConnection,
    notification: Uuid,
    channel: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from worker.notification_sends
                          where notification_id = $1 and channel = $2
                            and delivered_at is not null) as "is_told!""#,
        notification,
        channel,
    )
    .fetch_one(conn)
    .await
}

/// What else of the topic waits for the channel, the oldest first.
async fn waiting(
    conn: &mut PgConnection,
    told: &Told,
    channel: &str,
) -> Result<Vec<Gathered>, sqlx::Error> {
    sqlx::query_as!(
        Gathered,
        r#"select n.id, n.payload from worker.notifications n
           where n.topic = $1 and n.state = 'pending' and n.id <> $2
             and not exists (select from worker.notification_sends s
                             where s.notification_id = n.id and s.channel = $3
                               and (s.delivered_at is not null or s.given_up_at is not null))
           order by n.id limit $4"#,
        told.topic,
        told.id,
        channel,
        MOST,
    )
    .fetch_all(conn)
    .await
}
