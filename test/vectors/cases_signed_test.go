package vectors

import (
	"bytes"
	"slices"
	"time"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

// row is a vector of exit code 1 that starts from base.
type row struct {
	name, change, fails string
	edit                func(*scenario)
}

func rows(prefix string, in []row) (out []vector) {
	for _, r := range in {
		out = append(out, vector{name: prefix + r.name, change: r.change, s: with(r.edit), exit: 1, fails: r.fails})
	}
	return out
}

// nodeVectors break what the node signs: receipt, batch header, their times.
func nodeVectors(w *world) []vector {
	receipt := func(edit func(*evidence.ReceiptHead)) func(*scenario) {
		return func(s *scenario) { s.receipt = edit }
	}
	batch := func(edit func(*evidence.Batch)) func(*scenario) {
		return func(s *scenario) { s.batch = edit }
	}
	vendor, notary := w.actor("vendor-a"), w.actor("notary-a")
	return rows("", append([]row{
		{"receipt-signature", "one bit of the receipt's signature", "receipt", func(s *scenario) { s.receiptRaw = flipSig }},
		{"receipt-other-key", "the receipt is signed with the node's admin key", "receipt", func(s *scenario) { s.receiptKey = vendor.admin }},
		{"receipt-other-chain", "the receipt is signed for another chain", "receipt", func(s *scenario) {
			s.receiptRaw = func(raw []byte) []byte { return resign(raw, evidence.TypeReceipt, "other-00000000", vendor.intake) }
		}},
		{"receipt-other-domain", "the receipt's body is signed as a batch", "receipt", func(s *scenario) {
			s.receiptRaw = func(raw []byte) []byte { return resign(raw, evidence.TypeBatch, w.chain, vendor.intake) }
		}},
		{"receipt-other-node", "the receipt is of another node, with that node's signature", "receipt", func(s *scenario) {
			s.receipt = func(r *evidence.ReceiptHead) { r.Node = "notary-a" }
			s.receiptKey = notary.intake
		}},
		{"receipt-root", "the receipt's root is of other records", "receipt", receipt(func(r *evidence.ReceiptHead) { r.Root = merkle.Sum([]byte("another")) })},
		{"receipt-root-sm3", "the receipt's root: the SM3 half is another", "receipt", receipt(func(r *evidence.ReceiptHead) { r.Root.SM3[0] ^= 1 })},
		{"receipt-root-sha256", "the receipt's root: the SHA-256 half is another", "receipt", receipt(func(r *evidence.ReceiptHead) { r.Root.SHA256[0] ^= 1 })},
		{"receipt-count", "the receipt counts 9 records where there are 6", "receipt", receipt(func(r *evidence.ReceiptHead) { r.Count = 9 })},
		{"receipt-index", "the index under the receipt is another record's", "receipt", func(s *scenario) {
			s.file = func(f *proof.File) { f.Receipt.Index = 2 }
		}},
		{"receipt-index-beyond", "the index under the receipt is its count", "receipt", func(s *scenario) {
			s.file = func(f *proof.File) { f.Receipt.Index = 6 }
		}},
		{"receipt-promises-other-batch", "the receipt promises batch 8, the header is batch 7", "batch", receipt(func(r *evidence.ReceiptHead) { r.Seq = 8 })},
		{"receipt-earlier-than-record", "the receipt's received_at is 1 ms before the record's", "received-at",
			receipt(func(r *evidence.ReceiptHead) { r.ReceivedAt = clock(-time.Millisecond) })},
		{"batch-signature", "one bit of the batch header's signature", "batch", func(s *scenario) { s.batchRaw = flipSig }},
		{"batch-other-key", "the batch header is signed with the node's admin key", "batch", func(s *scenario) { s.batchKey = vendor.admin }},
		{"batch-other-chain", "the batch header is signed for another chain", "batch", func(s *scenario) {
			s.batchRaw = func(raw []byte) []byte { return resign(raw, evidence.TypeBatch, "other-00000000", vendor.intake) }
		}},
		{"batch-other-node", "the batch is of another node, with that node's signature", "batch", func(s *scenario) {
			s.batch = func(b *evidence.Batch) { b.Node = "notary-a" }
			s.batchKey = notary.intake
		}},
		{"batch-other-seq", "the batch header is batch 6, the receipt promises batch 7", "batch", batch(func(b *evidence.Batch) { b.Seq = 6 })},
		{"batch-begins-later", "first_received_at of the batch is 1 ms after the record's received_at", "received-at",
			batch(func(b *evidence.Batch) { b.FirstReceivedAt = clock(time.Millisecond) })},
		{"batch-ends-earlier", "last_received_at of the batch is 1 ms before the record's received_at", "received-at",
			batch(func(b *evidence.Batch) { b.LastReceivedAt = clock(-time.Millisecond) })},
	}, streamRows(batch)...))
}

func streamRows(batch func(func(*evidence.Batch)) func(*scenario)) []row {
	root := func(edit func(*evidence.StreamRoot)) func(*scenario) {
		return batch(func(b *evidence.Batch) {
			r := b.Streams[evidence.Contract]
			edit(&r)
			b.Streams[evidence.Contract] = r
		})
	}
	return []row{
		{"stream-absent", "the root stands under identity, the record's kind is of contract", "stream", batch(func(b *evidence.Batch) {
			b.Streams[evidence.Identity] = b.Streams[evidence.Contract]
			delete(b.Streams, evidence.Contract)
		})},
		{"stream-swapped", "the roots of contract and identity have changed places", "stream", batch(func(b *evidence.Batch) {
			b.Streams[evidence.Identity], b.Streams[evidence.Contract] = b.Streams[evidence.Contract], b.Streams[evidence.Identity]
		})},
		{"stream-root-sm3", "the stream's root: the SM3 half is another", "stream", root(func(r *evidence.StreamRoot) { r.Root.SM3[0] ^= 1 })},
		{"stream-root-sha256", "the stream's root: the SHA-256 half is another", "stream", root(func(r *evidence.StreamRoot) { r.Root.SHA256[0] ^= 1 })},
		{"stream-count", "the stream counts 9 records where there are 6", "stream", root(func(r *evidence.StreamRoot) { r.Count = 9 })},
		{"stream-index", "the index in the stream is another record's", "stream", func(s *scenario) {
			s.file = func(f *proof.File) { f.Batch.StreamIndex = 4 }
		}},
		{"stream-index-beyond", "the index in the stream is its count", "stream", func(s *scenario) {
			s.file = func(f *proof.File) { f.Batch.StreamIndex = 6 }
		}},
	}
}

// ledgerVectors break the place of the batch in the ledger.
func ledgerVectors(w *world) []vector {
	return rows("ledger-", []row{
		{"index", "the ledger index is another entry's", "ledger", func(s *scenario) {
			s.file = func(f *proof.File) { f.Batch.Index = 6 }
		}},
		{"index-beyond", "the ledger index is the size", "ledger", func(s *scenario) {
			s.file = func(f *proof.File) { f.Batch.Index = 10 }
		}},
		{"registry-size", "the batch was checked against entries that come after it", "ledger", func(s *scenario) {
			s.batch = func(b *evidence.Batch) { b.RegistrySize = 6 }
		}},
		{"not-in-it", "another header of the node, truly signed, stands for the one in the ledger", "ledger", func(s *scenario) {
			s.file = func(f *proof.File) {
				b := must(evidence.ParseBatch(f.Batch.Entry))
				b.LastReceivedAt = b.LastReceivedAt.Add(time.Second)
				f.Batch.Entry = must(b.Sign(w.chain, w.actor("vendor-a").intake))
			}
		}},
		{"resigned", "the same header with another true signature: the ledger's leaf is over the signature too", "ledger", func(s *scenario) {
			s.file = func(f *proof.File) {
				f.Batch.Entry = must(must(evidence.ParseBatch(f.Batch.Entry)).Sign(w.chain, w.actor("vendor-a").intake.(*steady).Signer))
			}
		}},
	})
}

// keyVectors break the registration of the submitter's key.
func keyVectors(w *world) []vector {
	entry := func(edit func(*evidence.KeyEntry)) func(*scenario) {
		return func(s *scenario) { s.entry = edit }
	}
	vendor, notary := w.actor("vendor-a"), w.actor("notary-a")
	return rows("key-", []row{
		{"signature", "one bit of the key entry's signature", "key", func(s *scenario) { s.entryRaw = flipSig }},
		{"signed-by-intake", "the key entry is signed with the member's intake key", "key", func(s *scenario) { s.entryKey = vendor.intake }},
		{"signed-by-other-member", "the key entry is signed with another member's admin key", "key", func(s *scenario) { s.entryKey = notary.admin }},
		{"other-chain", "the key entry is signed for another chain", "key", func(s *scenario) {
			s.entryRaw = func(raw []byte) []byte { return resign(raw, evidence.TypeKey, "other-00000000", vendor.admin) }
		}},
		{"purpose", "the key is registered for reading", "key", entry(func(k *evidence.KeyEntry) { k.Purpose = evidence.Read })},
		{"name", "the key entry is of another key name", "key", entry(func(k *evidence.KeyEntry) { k.Key = "submit-2025" })},
		{"member", "the key entry is of another member, with that member's signature", "key", func(s *scenario) {
			s.entry = func(k *evidence.KeyEntry) { k.Member = "notary-a" }
			s.entryKey = notary.admin
		}},
		{"revocation", "the key entry is the revocation of the key", "key statement", entry(func(k *evidence.KeyEntry) {
			k.Action, k.Purpose, k.PublicKey = evidence.Revoke, "", gm.PublicKey{}
		})},
		{"public-key", "the key entry registers another public key", "statement", entry(func(k *evidence.KeyEntry) {
			k.PublicKey = keyOf(gm.SM2, "another key").Public()
		})},
		{"late", "the key was registered after the batch", "key", func(s *scenario) { s.lateKey = true }},
		{"registry-size", "the batch was checked against a ledger without the key", "key", func(s *scenario) {
			s.batch = func(b *evidence.Batch) { b.RegistrySize = 1 }
		}},
		{"not-in-ledger", "a registration, truly signed, that is not in the ledger", "key", func(s *scenario) {
			s.file = func(f *proof.File) {
				k := must(evidence.ParseKeyEntry(f.Key.Entry))
				k.SignedAt = k.SignedAt.Add(time.Second)
				f.Key.Entry = must(k.Sign(w.chain, vendor.admin))
			}
		}},
		{"index", "the ledger index of the key entry is another entry's", "key", func(s *scenario) {
			s.batch = func(b *evidence.Batch) { b.RegistrySize = 4 }
			s.file = func(f *proof.File) { f.Key.Index = 2 }
		}},
	})
}

// fileVectors are files that cannot be read: exit code 2.
func fileVectors() (out []vector) {
	replace := func(old, new string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				panic("vector has nothing to replace: " + old)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		}
	}
	for _, r := range []struct {
		name, change string
		raw          func([]byte) []byte
	}{
		{"truncated", "the file ends in the middle", func(b []byte) []byte { return b[:len(b)/2] }},
		{"empty", "the file is empty", func([]byte) []byte { return nil }},
		{"not-json", "the file is a text", func([]byte) []byte { return []byte(contract) }},
		{"trailing", "data after the end", func(b []byte) []byte { return append(b, "{}"...) }},
		{"too-large", "white space makes the file larger than 65536 bytes", func(b []byte) []byte { return append(b, bytes.Repeat([]byte("\n"), 65536)...) }},
		{"duplicate-key", "the key v stands there twice", replace(`"v": 1`, `"v": 1, "v": 1`)},
		{"unknown-key", "an unknown key", replace(`"v": 1`, `"v": 1, "x": 1`)},
		{"key-case", "the key v is spelt V", replace(`"v": 1`, `"V": 1`)},
		{"version-2", "version 2", replace(`"v": 1`, `"v": 2`)},
		{"version-text", "the version is a string", replace(`"v": 1`, `"v": "1"`)},
		{"version-fraction", "the version is 1.0", replace(`"v": 1`, `"v": 1.0`)},
		{"type", "another type", replace(`"qifeng-proof"`, `"qifeng-prooF"`)},
		{"null", "anchors is null", replace(`"anchors": []`, `"anchors": null`)},
		{"anchor", "an anchor, of which version 1 has none", replace(`"anchors": []`, `"anchors": [{}]`)},
		{"no-chain", "the chain is missing", replace(`"chain":`, `"chainx":`)},
		{"chain-form", "the chain id has no hex end", replace(`"chain": "`, `"chain": "-`)},
		{"digest-upper-case", "the hex digits of a path are upper case", func(b []byte) []byte {
			at := bytes.Index(b, []byte(`"sm3":"`)) + len(`"sm3":"`)
			return slices.Concat(b[:at], bytes.ToUpper(b[at:at+64]), b[at+64:])
		}},
		{"record-space", "white space inside the record", replace(`"record": "{\"intake\":`, `"record": "{\"intake\": `)},
		{"record-order", "the keys of the record are not sorted", replace(`{\"index\":2,\"node\":\"vendor-a\"`, `{\"node\":\"vendor-a\",\"index\":2`)},
		{"record-kind", "a kind that does not exist", replace(`\"kind\":\"contract.final\"`, `\"kind\":\"contract.draft\"`)},
		{"record-of-other-kind", "a kind that has other fields", replace(`\"kind\":\"contract.final\"`, `\"kind\":\"identity.person\"`)},
		{"record-line-feed", "a line feed inside the record", replace(`\"kind\":\"contract.final\"`, `\"kind\":\"contract.final\n\"`)},
		{"record-time", "a time without milliseconds", replace(`\"received_at\":\"2026-11-21T08:00:00.000Z\"`, `\"received_at\":\"2026-11-21T08:00:00Z\"`)},
		{"record-time-impossible", "the 31st of November", replace(`\"received_at\":\"2026-11-21T08:00:00.000Z\"`, `\"received_at\":\"2026-11-31T08:00:00.000Z\"`)},
		{"record-step", "a step without a dossier", replace(`\"submitter\":`, `\"step\":1,\"submitter\":`)},
		{"receipt-deadline", "a deadline more than 30 days after received_at", replace(`\"deadline\":\"2026-11-22T`, `\"deadline\":\"2026-12-22T`)},
		{"batch-times", "last_received_at is before first_received_at", replace(`\"last_received_at\":\"2026-11-21T`, `\"last_received_at\":\"2026-11-20T`)},
		{"key-purpose", "a registration without its purpose", replace(`\"purpose\":\"submit\",`, ``)},
		{"batch-type", "the batch entry is of another type", replace(`\"type\":\"batch\"`, `\"type\":\"card\"`)},
		{"sig-long", "a signature of 65 bytes", replace(`\"sig\":\"`, `\"sig\":\"00`)},
		{"bidi", "a right-to-left override in a string", replace(`"chain": "`, "\"chain\": \"\u202e")},
		{"surrogate", "half a surrogate pair", replace(`"chain": "`, `"chain": "\ud800`)},
		{"path-too-long", "a path of more than 53 hashes", replace(`"stream_path": [`, `"stream_path": [`+string(bytes.Repeat([]byte(`{"sha256":"`+hex64+`","sm3":"`+hex64+`"},`), 54)))},
	} {
		out = append(out, vector{name: "file-" + r.name, change: r.change, s: with(func(s *scenario) { s.raw = r.raw }), exit: 2})
	}
	for _, part := range []string{"batch", "checkpoint", "key"} {
		out = append(out, vector{name: "file-no-" + part, change: "batch, checkpoint and key stand together: " + part + " is missing", exit: 2,
			s: with(func(s *scenario) { s.raw = func(b []byte) []byte { return without(b, part) } })})
	}
	return append(out, sameFileVectors(replace)...)
}

// sameFileVectors look odd and are the same proof.
func sameFileVectors(replace func(old, new string) func([]byte) []byte) (out []vector) {
	same := func(name, change string, raw func([]byte) []byte) {
		out = append(out, vector{name: "file-" + name, change: change, s: with(func(s *scenario) { s.raw = raw })})
	}
	same("compact", "none: the file is one line", compact)
	same("bom", "none: an editor put a byte order mark before the file", func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) })
	same("escapes", "none: characters are written as escapes", replace(`"qifeng-proof"`, `"\u0071ifeng-\u0070roof"`))
	same("crlf", "none: an editor ended the lines by CR LF", func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")) })
	same("key-order", "none: the keys are in another order", func(b []byte) []byte {
		return replace("{\n", "{\"type\": \"qifeng-proof\",\n")(replace("  \"type\": \"qifeng-proof\",\n", "")(b))
	})
	return out
}

const hex64 = "00000000000000000000000000000000000000000000000000000000000000ff"
