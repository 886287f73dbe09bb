//! Retrying dead jobs, each through whom its meaning lies with: a delivery's is a new transmission of
//! the delivery, a notification's is sent again to whoever has not taken it, any other is given its
//! attempts back.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{
    audit::By,
    delivery::{self, Deliver, Operated, Operation, Tally},
    notification::{self, Notify, Remedied, Remedy},
    queue::{self, DeadJob, Job as _},
};

/// Why a job is left alone.
const FOLLOWED_UP: &str = "it is not dead any more, or a later job does its work";

/// Retries these jobs, each in a transaction of its own and with its row in the audit.
///
/// # Errors
/// The database's; what was retried before stays so.
pub async fn retry(
    pool: &PgPool,
    jobs: &[DeadJob],
    by: &By,
    now: DateTime<Utc>,
) -> Result<Tally, sqlx::Error> {
    let mut tally = Tally::default();
    for job in jobs {
        match retry_one(pool, job, by, now).await? {
            Ok(()) => tally.changed += 1,
            Err(why) => tally.refused.push((job.id, why)),
        }
    }
    Ok(tally)
}

async fn retry_one(
    pool: &PgPool,
    job: &DeadJob,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Result<(), String>, sqlx::Error> {
    if job.kind == Deliver::KIND
        && let Ok(Deliver { delivery }) = serde_json::from_value(job.arguments.clone())
    {
        if !queue::is_dead(pool, job.id).await? {
            return Ok(Err(FOLLOWED_UP.into()));
        }
        let operated = delivery::operate(pool, delivery, Operation::Redeliver, by, now).await?;
        return Ok(match operated {
            Some(Operated::Changed(_) | Operated::Stopping) => Ok(()),
            Some(Operated::Refused(why)) => Err(format!("its delivery {delivery}: {why}")),
            None => Err(format!("its delivery {delivery} is not there any more")),
        });
    }
    if job.kind == Notify::KIND
        && let Ok(Notify { notification: id }) = serde_json::from_value(job.arguments.clone())
    {
        return Ok(
            match notification::remedy(pool, id, Remedy::Retry, by, now).await? {
                Remedied::Done => Ok(()),
                Remedied::Refused(state) => Err(format!("its notification {id} is {state}")),
                Remedied::Missing => Err(format!("its notification {id} is not there any more")),
            },
        );
    }
    let mut tx = pool.begin().await?;
    let is_retried = queue::retry_dead(&mut tx, job.id, by, now).await?;
    tx.commit().await?;
    Ok(match is_retried {
        true => Ok(()),
        false => Err(FOLLOWED_UP.into()),
    })
}
