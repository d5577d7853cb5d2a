//! The one seam between layers: a boxed service. Bounds stand here once, as two traits that everything fitting has.

use std::any::Any;

use tidemill_core::BoxError;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use super::Attempt;

/// A stack of layers with a handler at the bottom; what a [`Layer`] is put around.
pub type Stack = BoxCloneSyncService<Attempt, (), BoxError>;

/// A tower service that can stand in a handler's stack. Implemented for every service that fits.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a handler's stack",
    note = "it must be a `Service<Attempt, Response = (), Error: Into<BoxError>>` with a `Send` future, and `Clone + Send + Sync + 'static`"
)]
pub trait HandlerService: Clone + Send + Sync + 'static {
    /// Puts it into a box, unless it is in one.
    fn into_stack(self) -> Stack;
}

impl<S> HandlerService for S
where
    S: Service<Attempt, Response = ()> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn into_stack(self) -> Stack {
        // A box around a box would cost every attempt another allocation or two.
        match (&self as &dyn Any).downcast_ref::<Stack>() {
            Some(stack) => stack.clone(),
            None => BoxCloneSyncService::new(self.map_err(Into::into)),
        }
    }
}

/// A tower layer that fits around a handler. Implemented for every [`Layer`] that makes a [`HandlerService`] of a
/// [`Stack`]: most of tower's own, [`from_fn`](super::from_fn) and [`tower::ServiceBuilder`] stacks of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not fit around a handler",
    label = "give a `tower::Layer`, or wrap a function in `layer::from_fn`",
    note = "the service that the layer makes of a `Stack` must be a `Service<Attempt, Response = (), Error: Into<BoxError>>` with a `Send` future, and `Clone + Send + Sync + 'static`"
)]
pub trait HandlerLayer: Send + Sync + 'static {
    /// Puts the layer around a stack.
    fn around(&self, inner: Stack) -> Stack;
}

impl<L> HandlerLayer for L
where
    L: Layer<Stack> + Send + Sync + 'static,
    L::Service: HandlerService,
{
    fn around(&self, inner: Stack) -> Stack {
        self.layer(inner).into_stack()
    }
}
