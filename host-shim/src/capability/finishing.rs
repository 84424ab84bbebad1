//! Work that is finished even if nobody waits for it any more.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tracing::Instrument;

/// A future that is finished by its runtime if this is dropped before. Whoever polls it does the work, so that no other task
/// has to be woken.
pub struct Finishing<T: Send + 'static> {
    /// Until it is done.
    work: Option<Pin<Box<dyn Future<Output = T> + Send>>>,
    runtime: Handle,
}

/// The work has panicked.
pub struct Panicked(Box<dyn Any + Send>);

impl Panicked {
    /// What it said.
    pub fn message(&self) -> &str {
        let text = self.0.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| self.0.downcast_ref().copied())
            .unwrap_or("it panicked")
    }
}

impl<T: Send + 'static> Finishing<T> {
    /// Work that begins when this is polled or dropped.
    pub fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Finishing {
            work: Some(Box::pin(work)),
            runtime: Handle::current(),
        }
    }
}

impl<T: Send + 'static> Future for Finishing<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // One that has panicked cannot go on.
        let Some(mut work) = self.work.take() else {
            return Poll::Pending;
        };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => {
                self.work = Some(work);
                Poll::Pending
            }
            Err(panic) => Poll::Ready(Err(Panicked(panic))),
        }
    }
}

impl<T: Send + 'static> Drop for Finishing<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let work = async move { drop(work.await) };
            drop(self.runtime.spawn(work.in_current_span()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_done_by_whoever_waits_or_when_nobody_does() {
        assert!(matches!(Finishing::new(ready(1)).await, Ok(1)));

        let (go_on, waits) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let mut begun = Finishing::new(async move {
            waits.await.unwrap();
            tell.send(()).unwrap();
        });
        let polled = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut begun).poll(context).is_pending())
        });
        assert!(polled.await);
        drop(begun);
        go_on.send(()).unwrap();
        told.await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let panicked = Finishing::new(async { panic!("because {}", 1) }).await;
        assert_eq!(panicked.err().unwrap().message(), "because 1");
        let panicked = Finishing::new(async { panic!("because") }).await;
        assert_eq!(panicked.err().unwrap().message(), "because");
    }
}
