//! Questions of many callers, put to the database together: while one is under way the others gather,
//! and go as one when it is answered. A lonely one waits for nobody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

/// The most questions that go together.
const BATCH_LIMIT: usize = 256;

type Ask<Q, A> = dyn Fn(Vec<Q>) -> BoxFuture<'static, Vec<A>> + Send + Sync;

/// Puts questions together. Clones gather with each other.
pub(crate) struct Gathering<Q, A> {
    waiting: Arc<Mutex<Waiting<Q, A>>>,
    ask: Arc<Ask<Q, A>>,
}

struct Waiting<Q, A> {
    questions: Vec<(Q, oneshot::Sender<A>)>,
    is_asking: bool,
}

impl<Q, A> Clone for Gathering<Q, A> {
    fn clone(&self) -> Self {
        Self {
            waiting: Arc::clone(&self.waiting),
            ask: Arc::clone(&self.ask),
        }
    }
}

impl<Q: Send + 'static, A: Send + 'static> Gathering<Q, A> {
    /// `ask` is given the questions and gives as many answers, in their order.
    pub(crate) fn new(
        ask: impl Fn(Vec<Q>) -> BoxFuture<'static, Vec<A>> + Send + Sync + 'static,
    ) -> Self {
        let waiting = Waiting {
            questions: Vec::new(),
            is_asking: false,
        };
        Self {
            waiting: Arc::new(Mutex::new(waiting)),
            ask: Arc::new(ask),
        }
    }

    /// The answer to one question. `None`: whoever asked is gone, as at the end of the process.
    pub(crate) async fn ask(&self, question: Q) -> Option<A> {
        let (give, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = lock(&self.waiting);
            waiting.questions.push((question, give));
            !std::mem::replace(&mut waiting.is_asking, true)
        };
        if is_first {
            // By itself: a caller who gives up must not take the others' answers along.
            let gathering = self.clone();
            tokio::spawn(async move { gathering.answer_all().await });
        }
        answer.await.ok()
    }

    async fn answer_all(&self) {
        let _ended = Ended(&self.waiting);
        loop {
            let (questions, callers): (Vec<Q>, Vec<oneshot::Sender<A>>) = {
                let mut waiting = lock(&self.waiting);
                let count = waiting.questions.len().min(BATCH_LIMIT);
                if count == 0 {
                    waiting.is_asking = false;
                    return;
                }
                waiting.questions.drain(..count).unzip()
            };
            let answers = (self.ask)(questions).await;
            for (caller, answer) in callers.into_iter().zip(answers) {
                // Whoever gave up wants no answer.
                let _ = caller.send(answer);
            }
        }
    }
}

/// An answer for each who asked; what befell them together befell each.
pub(crate) fn each<A, E: Clone>(answered: Result<Vec<A>, E>, count: usize) -> Vec<Result<A, E>> {
    match answered {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => vec![error; count].into_iter().map(Err).collect(),
    }
}

fn lock<Q, A>(waiting: &Mutex<Waiting<Q, A>>) -> MutexGuard<'_, Waiting<Q, A>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever asks next asks for itself, and those who wait are told, if asking ended in a panic.
struct Ended<'a, Q, A>(&'a Mutex<Waiting<Q, A>>);

impl<Q, A> Drop for Ended<'_, Q, A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = lock(self.0);
            waiting.is_asking = false;
            waiting.questions.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn doubling(asked: &Arc<AtomicUsize>) -> Gathering<usize, usize> {
        let asked = Arc::clone(asked);
        Gathering::new(move |questions: Vec<usize>| {
            asked.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                tokio::task::yield_now().await;
                assert!(!questions.contains(&13), "unlucky");
                questions.into_iter().map(|question| 2 * question).collect()
            })
        })
    }

    #[tokio::test]
    async fn many_callers_are_answered_together_and_each_with_its_own() {
        let asked = Arc::default();
        let gathering = doubling(&asked);
        let questions = (100..200).map(|question| gathering.ask(question));
        let answers: Vec<_> = join_all(questions).await.into_iter().flatten().collect();
        assert_eq!(answers, (100..200).map(|n| 2 * n).collect::<Vec<_>>());
        assert!(asked.load(Ordering::SeqCst) <= 2);
        assert_eq!(gathering.ask(7).await, Some(14));
    }

    #[tokio::test]
    async fn a_panic_leaves_nobody_waiting_and_the_next_is_answered() {
        let gathering = doubling(&Arc::default());
        assert_eq!(gathering.ask(13).await, None);
        assert_eq!(gathering.ask(1).await, Some(2));
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_takes_nobody_along() {
        let gathering = doubling(&Arc::default());
        let given_up = gathering.ask(1);
        let waits = gathering.ask(2);
        let mut given_up = Box::pin(given_up);
        assert!(futures_util::poll!(given_up.as_mut()).is_pending());
        drop(given_up);
        assert_eq!(waits.await, Some(4));
    }
}
