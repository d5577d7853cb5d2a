//! How a program with a worker ends: the error with its causes on standard error, and the exit code that says whether
//! starting it again helps.

use std::process::{ExitCode, Termination};

use tidemill_core::{BoxError, report};

use crate::config::{ConfigErrors, ConfigProblem};
use crate::error::{BuildError, RunError};

/// What `main` returns, made of the result of everything else. An error is printed with its causes. The exit code is 64
/// when the configuration or the worker is put together wrongly, 75 when the drain was cut short, so that events were left
/// unacknowledged, and 1 for any other error.
///
/// A Tokio runtime that ends waits for handlers that block their threads; only then comes the code.
///
/// ```no_run
/// use tidemill_core::{BoxError, Context, Event, handler_fn};
/// use tidemill_runtime::{Config, Exit, Worker, shutdown_signal};
///
/// async fn run() -> Result<(), BoxError> {
///     let hello = handler_fn(|_event: Event, _cx: Context| async { Ok(()) });
///     Worker::builder(Config::load()?).route("hello/#", hello).build()?.run_until(shutdown_signal()).await?;
///     Ok(())
/// }
///
/// #[tokio::main]
/// async fn main() -> Exit {
///     run().await.into()
/// }
/// ```
#[derive(Debug)]
#[must_use = "the exit code counts only when `main` returns it"]
pub struct Exit(Option<BoxError>);

impl Exit {
    /// The exit code; 0 when all went well.
    #[must_use]
    pub fn code(&self) -> u8 {
        let mut next = self.0.as_deref().map(|error| error as &(dyn std::error::Error + 'static));
        let mut code = u8::from(next.is_some());
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<RunError>() {
                return error.exit_code();
            }
            if let Some(error) = error.downcast_ref::<BuildError>() {
                return error.exit_code();
            }
            if error.is::<ConfigErrors>() || error.is::<ConfigProblem>() {
                code = BuildError::EXIT_CODE;
            }
            next = error.source();
        }
        code
    }
}

impl<T, E: Into<BoxError>> From<Result<T, E>> for Exit {
    fn from(result: Result<T, E>) -> Self {
        Self(result.err().map(Into::into))
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        if let Some(error) = &self.0 {
            eprintln!("{}", report(&**error));
        }
        ExitCode::from(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::error::RunErrorKind;

    #[test]
    fn the_code_is_that_of_the_error_however_deep_it_lies() {
        #[derive(Debug)]
        struct Around(RunError);
        impl std::fmt::Display for Around {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("run the mill")
            }
        }
        impl std::error::Error for Around {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = |kind| RunError::new(kind, "it ended");
        assert_eq!(Exit::from(Err::<(), _>(error(RunErrorKind::DrainDeadline))).code(), 75);
        assert_eq!(Exit::from(Err::<(), _>(error(RunErrorKind::Broker))).code(), 1);
        assert_eq!(Exit::from(Err::<(), _>(Around(error(RunErrorKind::Forced)))).code(), 75);
        assert_eq!(Exit::from(Config::from_toml("window = 1")).code(), 64);
        assert_eq!(Exit::from(Err::<(), BoxError>("a text".into())).code(), 1);
        assert_eq!(Exit::from(Ok::<_, BoxError>(7)).code(), 0);
    }
}
