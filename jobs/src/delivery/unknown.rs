//! Hand-overs of which it is not known whether they arrived. The partner is asked before anything
//! is sent again; where it cannot answer, a person gets what is known, and the question to put.

use platform_adapters::{Code, Fault, package::Package};

use super::row::Delivery;

/// A fault met before the partner could say whether an earlier attempt arrived: that is still the
/// question, whatever the fault.
pub(super) fn unanswered(fault: Fault) -> Fault {
    Fault {
        code: Code::OutcomeUnknown,
        message: format!(
            "whether an earlier attempt arrived is not known yet, the question failed: {}",
            fault.message
        ),
        remedy: None,
        ..fault
    }
}

/// The partner has no way to answer.
pub(super) fn no_answer() -> Fault {
    Fault::new(
        Code::OutcomeUnknown,
        "the partner offers no way to look what it has, and sending again might give it the release \
         twice",
    )
}

/// The same fault with all that an operator needs to find out.
pub(super) fn laid_out(delivery: &Delivery, package: Option<&Package>, fault: Fault) -> Fault {
    let what = package.map_or_else(
        || "a package that cannot be made again now".to_owned(),
        |package| {
            let (mut files, mut bytes) = (0u64, 0u64);
            for file in package.files() {
                files += 1;
                bytes += file.size;
            }
            format!("{files} files of {bytes} bytes and the message")
        },
    );
    let at = |time: Option<chrono::DateTime<chrono::Utc>>| {
        time.map_or_else(
            || "an unknown time".to_owned(),
            |time| time.format("%F %T UTC").to_string(),
        )
    };
    let (since, step) = match &delivery.unknown {
        Some(unknown) => (at(Some(unknown.since)), unknown.reason.as_str()),
        None => (at(delivery.started_at), fault.message.as_str()),
    };
    let handover = delivery.handover();
    let message = format!(
        "it cannot be known whether the {} of revision {} arrived ({}). Sent: {what}, under the key \
         {} in the folder {}, first on {}. The last certain step, on {since}: {step}",
        delivery.kind.as_str(),
        delivery.revision,
        fault.message,
        handover.key(),
        handover.timestamp(),
        at(delivery.started_at),
    );
    let upc = delivery.upc.as_deref().unwrap_or("unknown");
    let then = if delivery.is_called_off {
        "--rejected, or --absent to call it off; what is there and must not be is taken down after \
         --accepted with `deliveries takedown`"
    } else {
        "--rejected, or --absent to send it again"
    };
    let remedy = format!(
        "Ask {} whether it has UPC {upc} under the key {} or in the folder {}, complete. Then record \
         its answer: `tunemantra-worker deliveries acknowledge {} --reason WHY` with --accepted, \
         {then}.",
        delivery.platform_name,
        handover.key(),
        handover.timestamp(),
        delivery.id,
    );
    Fault { message, ..fault }.with_remedy(remedy)
}
