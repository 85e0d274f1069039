// The keys of what the storage services are told. Their options are part of Config as they are, so
// a default stands in one place only.
#include "server/config_fields.h"

namespace lre::server {

std::vector<ConfigKey> ActionCacheKeys() {
  using C = Config;
  return {
      Flag("action_cache.updates", "Whether clients may write action results.",
           &C::action_cache_updates),
      Texts(
          "action_cache.update_instances", "NAME,...",
          "Instance names whose results, assets, pins and raw values clients may write, when "
          "action_cache.updates allows it; empty: every one. Results of actions executed here are "
          "always kept.",
          &C::action_cache_update_instances),
      Size("action_cache.result_max", "Of one action result.",
           LRE_FIELD(action_cache.result_bytes_max)),
      Size("action_cache.inline_max",
           "Bytes of outputs that one answer carries inline for clients that ask for that.",
           LRE_FIELD(action_cache.inline_bytes_max)),
      Count("action_cache.blobs_max", "Distinct blobs that one result may name.",
            &C::action_cache_blobs_max, 1),
      Count("action_cache.seen_max",
            "Actions that were executed or uploaded last, which `lre explain` compares with; about "
            "300 bytes of memory each; 0: none.",
            &C::action_cache_seen_max),
  };
}

std::vector<ConfigKey> TransferKeys() {
  using C = Config;
  return {
      Size("cas.batch_max", "Of one BatchUpdateBlobs or FindMissingBlobs message.",
           LRE_FIELD(cas.batch_bytes_max)),
      Size("cas.batch_announced",
           "What clients are told that a batch may hold; the message limit of most is 4MiB.",
           &C::cas_batch_announced_bytes),
      Size("cas.answer_max",
           "Of one BatchReadBlobs answer; blobs that do not fit are refused one by one.",
           LRE_FIELD(cas.answer_bytes_max)),
      Size("cas.tree_page", "Of one message of GetTree, about.", LRE_FIELD(cas.tree_page_bytes)),
      Count("cas.tree_directories_max", "Distinct directories of one GetTree.",
            LRE_FIELD(cas.tree_directories_max), 1),
      Size("cas.inline_hash_max",
           "A BatchUpdateBlobs of more bytes is hashed by the I/O threads, to keep the loop that "
           "took it free for others.",
           LRE_FIELD(cas.inline_hash_bytes_max)),
      Size("byte_stream.message_max", "Of one message of a Write.",
           LRE_FIELD(byte_stream.write_message_bytes_max)),
      Size("byte_stream.inline_write_max",
           "A blob in one message of more bytes is hashed and stored by the I/O threads.",
           LRE_FIELD(byte_stream.inline_write_bytes_max)),
      Count("byte_stream.uploads_parked_max",
            "Broken uploads that wait to be resumed; more are dropped.",
            LRE_FIELD(byte_stream.uploads_parked_max)),
      Time("byte_stream.upload_idle_max", "How long one of them waits.",
           LRE_FIELD(byte_stream.upload_idle_max)),
      Size("byte_stream.zstd_cache",
           "Memory for blobs that were sent compressed, to be sent again; 0: none.",
           LRE_FIELD(byte_stream.zstd_cache_bytes_max)),
      Size("chunks.fast_cdc_average",
           "Of the chunks that SplitBlob cuts with FastCDC; a power of two from 1KiB to 1MiB. "
           "Blobs that were cut otherwise share no chunks.",
           LRE_FIELD(chunks.fast_cdc.average_bytes)),
      Size("chunks.rep_max_min", "The least of the chunks that it cuts with RepMaxCDC.",
           LRE_FIELD(chunks.rep_max_cdc.bytes_min)),
      Size("chunks.rep_max_horizon", "How far RepMaxCDC looks; eight times the least is usual.",
           LRE_FIELD(chunks.rep_max_cdc.horizon_bytes)),
      Count("chunks.per_blob_max", "Of one SplitBlob or SpliceBlob.", LRE_FIELD(chunks.chunks_max),
            1),
  };
}

}  // namespace lre::server
