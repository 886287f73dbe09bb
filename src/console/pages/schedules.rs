//! Schedules: a calendar of the weeks around now, and the list.

use std::collections::BTreeMap;

use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveDateTime, Utc};
use jobs::{
    catalog,
    schedule::{self, ListFilter, Listed, NewSchedule, Rescheduled},
};

use crate::{
    console::{
        failure::Failure,
        fields::Query,
        flash::Note,
        frame::{Frame, back, render},
        markers::{time, tone},
        visitor::{Order, Visitor},
    },
    http::{
        App, Kind, Limit, Page as Listing, Path, Problem, place, place_of_schedule, schedule_at,
    },
};

/// Days of the calendar.
const DAYS: u64 = 28;

#[derive(Template)]
#[template(path = "schedules.html")]
struct Page {
    frame: Frame,
    status: String,
    day: String,
    weeks: Vec<Vec<Day>>,
    /// With their ids.
    platforms: Vec<(i32, String)>,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Day {
    date: NaiveDate,
    count: i64,
    is_today: bool,
}

struct Row {
    one: Listed,
    due: DateTime<Utc>,
    tone: &'static str,
    is_open: bool,
    failed: Vec<String>,
    version: String,
}

pub(in crate::console) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(fields): Query,
) -> Result<Response, Failure> {
    let status = fields
        .filled("status")
        .map(|status| status.replace('\0', "\u{fffd}"));
    let day: Option<NaiveDate> = fields.filled("day").and_then(|day| day.parse().ok());
    let limit = Limit::of(None)?;
    let filter = ListFilter {
        status: status.clone(),
        due_from: day.and_then(|day| day.and_hms_opt(0, 0, 0)),
        due_before: day
            .and_then(|day| day.checked_add_days(Days::new(1)))
            .and_then(|day| day.and_hms_opt(0, 0, 0)),
        after: place(fields.filled("cursor"), schedule_at)?,
        limit: limit.and_one(),
        ..ListFilter::default()
    };
    let listed = schedule::list(&app.pool, &filter).await?;
    let listing = Listing::of(listed, limit, place_of_schedule);
    let today = (app.clock)().date_naive();
    let page = Page {
        frame: Frame::new(&visitor, "schedules", "Schedules"),
        status: status.unwrap_or_default(),
        day: day.map_or_else(String::new, |day| day.to_string()),
        weeks: weeks(&app, today).await?,
        platforms: catalog::platform_names(&app.pool).await?,
        rows: listing.items.into_iter().map(row).collect(),
        next: listing.next,
    };
    Ok(render(&page))
}

/// Four weeks, from the Monday of the week before this one.
async fn weeks(app: &App, today: NaiveDate) -> Result<Vec<Vec<Day>>, Failure> {
    let back = u64::from(today.weekday().num_days_from_monday()) + 7;
    let first = today.checked_sub_days(Days::new(back)).unwrap_or(today);
    let counted = schedule::count_by_day(&app.pool, first, DAYS).await?;
    let counts: BTreeMap<NaiveDate, i64> = counted.into_iter().collect();
    let days: Vec<NaiveDate> = first
        .iter_days()
        .take(usize::try_from(DAYS).unwrap_or_default())
        .collect();
    let weeks = days.chunks(7).map(|week| {
        let day = |date: &NaiveDate| Day {
            date: *date,
            count: counts.get(date).copied().unwrap_or_default(),
            is_today: *date == today,
        };
        week.iter().map(day).collect()
    });
    Ok(weeks.collect())
}

fn row(one: Listed) -> Row {
    let failed = one
        .failed_platforms
        .as_ref()
        .and_then(|failed| failed.as_object());
    let failed = failed.into_iter().flatten().map(|(platform, failure)| {
        let message = failure.get("message").and_then(|message| message.as_str());
        format!("platform {platform}: {}", message.unwrap_or("failed"))
    });
    Row {
        tone: tone(&one.status),
        is_open: matches!(one.status.as_str(), "pending" | "scheduled"),
        failed: failed.collect(),
        version: one.version(),
        due: one.scheduled_date.and_utc(),
        one,
    }
}

/// Schedules a release in the name of its owner.
pub(in crate::console) async fn create(
    State(app): State<App>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let release = fields.text("release").trim();
    let release_id = release
        .parse()
        .map_err(|_| Problem::invalid(format!("{release:?} is no id of a release")))?;
    let now = (app.clock)();
    let due = match fields.filled("due") {
        None => now,
        // As browsers write it, with seconds or without.
        Some(text) => ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
            .into_iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .ok_or_else(|| {
                Problem::invalid(format!("{text:?} is no time; write 2027-01-31T06:00"))
            })?
            .and_utc(),
    };
    let new = NewSchedule {
        release_id,
        platform_ids: fields
            .all("platform")
            .filter_map(|id| id.parse().ok())
            .collect(),
        due,
        user_id: None,
    };
    let note = match schedule::create(&app.pool, &new, &by, now).await? {
        Ok(id) => Note::good(format!("Schedule {id} is made.")),
        Err(why) => Note::bad(format!("Nothing was scheduled: {why}.")),
    };
    Ok(back("/console/schedules", &note))
}

pub(in crate::console) async fn operate(
    State(app): State<App>,
    Path((id, operation)): Path<(i32, String)>,
    Order { by, fields }: Order,
) -> Result<Response, Failure> {
    let now = (app.clock)();
    let seen = Some(fields.text("version"));
    let (done, word) = match operation.as_str() {
        "cancel" => (
            schedule::cancel(&app.pool, id, seen, &by, now).await?,
            "called off",
        ),
        "run-now" => (
            schedule::run_now(&app.pool, id, seen, &by, now).await?,
            "due now",
        ),
        other => {
            let detail = format!("{other:?} cannot be done to a schedule");
            return Err(Problem::new(Kind::NotFound, detail).into());
        }
    };
    let note = match done {
        Rescheduled::Done => Note::good(format!("Schedule {id} is {word}.")),
        Rescheduled::TakenUp(status) => Note::bad(format!(
            "Schedule {id} is {status}: it has been taken up or is over. Nothing was changed."
        )),
        Rescheduled::Stale => {
            Note::bad("It has changed since you opened the page. Look at it again.")
        }
        Rescheduled::Missing => {
            return Err(Problem::missing(format!("there is no schedule {id}")).into());
        }
    };
    Ok(back("/console/schedules", &note))
}
