//! Puts an object into the store: whole, or in parts when it is large.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutPayload};

use super::body::Body;

/// Uploads an object and overwrites one of that name. It shows in the store when it is whole.
///
/// Dropped in the middle of several parts, it leaves parts behind that no reader sees and the store charges for.
pub(super) async fn upload(
    store: &dyn ObjectStore,
    path: &Path,
    body: Body,
    multipart_above_bytes: u64,
) -> Result<(), Error> {
    let whole = body.len() <= multipart_above_bytes;
    let pieces = body.into_pieces();
    if whole {
        return store.put(path, pieces.into_iter().collect::<PutPayload>()).await.map(drop);
    }
    let mut upload = store.put_multipart(path).await?;
    let sent = async {
        for piece in pieces {
            upload.put_part(piece.into()).await?;
        }
        upload.complete().await
    };
    let sent = sent.await;
    if sent.is_err() {
        // The first error is the one that tells something.
        _ = upload.abort().await;
    }
    sent.map(drop)
}
