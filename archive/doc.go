// Package archive keeps the records of one node: it takes requests in, makes
// them durable before it signs for them, gathers them in batches, brings the
// batches' signed headers to the chain, and finds records again with the paths
// that a proof needs.
//
// It is not the chain and not the judge: it does not know what is sealed, it
// checks no proof, and it asks the chain through a small interface. It never
// holds content, only records.
//
// # Invariants
//
//   - Nothing is acknowledged before its fsync, and a request is stored whole or
//     not at all.
//   - A submission is stored once. Whoever sends it again gets the stored
//     record, statement, receipt and paths, byte for byte.
//   - A receipt names (node, seq), and the header of that seq contains its
//     records: seq stands in the journal before the receipt leaves, and recovery
//     rebuilds exactly that batch.
//   - Of one seq there is one signed header that ever leaves the process, and
//     only its bytes are sent again. A seq that a lost journal may have promised
//     is never used.
//   - received_at never goes back.
//   - A failed write, a contradiction with the chain or a file that holds what
//     was never written stops the intake ([ErrStopped], [ErrTampered]); what is
//     stored can be read on.
//
// # Who may lie to it
//
// Submitters: a [evidence.Request] has been parsed, its signature and key are
// checked here. The disk: frames have checksums, and what is read for an answer
// is checked against the batch's leaves, the receipt's and the statement's
// root. The chain is believed as far as it has agreed; its mempool is not: only
// Ledger.Batch says that a header is in. The holder of the intake key elsewhere
// (a second copy of the node, an old backup) is found when the chain has what
// was not sent from here. Keys and the configuration are trusted.
//
// # Storage
//
// One file per batch holds everything that the batch is made of. It is written
// as a journal and only renamed afterwards, so no record is ever written twice:
//
//	LOCK                                      held while the archive is open
//	journal/SEQ.journal                       open; or full and without a footer
//	outbox/SEQ-DIGEST.batch                   closed; the chain is not known to have its header
//	batches/FOLDER/SEQ-DIGEST.batch           closed and on the chain
//	index/runs/                               fingerprints of what records are found by, derived from the files above
//	index/names/                              goleveldb: names of closed batches' files, derived too, and the mark
//	lost/                                     restored.go: what a restored folder lacks, and journals put aside
//	RESTORED                                  the folder was put back from a backup and not opened since
//
// SEQ has 16 decimal digits, DIGEST is the SM3 digest of the signed header in
// hex, FOLDER is SEQ/256 in 14 digits. A batch file is the preface "QFBATCH"
// and the version byte 2, then frames (frame.go), each of which was fsynced
// before the next was written:
//
//  1. opening: kind 1, seq (8), length (1) and text of the node's id, length (1)
//     and text of the chain id;
//  2. any number of groups (group.go): records, the signed statements that they
//     came under with the pairs of all submissions of these, and the signed head
//     of the receipt that the records share; beside the leaves of each of these
//     trees the roots of its blocks, so that a path is made of one block and them;
//  3. in a closed batch the footer (footer.go): the signed header and the nodes
//     of the streams' trees, so that a path is read and not computed. With the
//     footer the file never changes again.
//
// Numbers are big-endian. The records of a stream stand in the tree in the
// order of the file. A record is found by its locator: seq, offset of the
// group's frame, position in the group; it stays when the file is renamed.
//
// There is always exactly one open journal, and the next one is made before the
// last one is closed. So a folder without an open journal has lost it, and the
// archive goes on two seqs later, with an alarm.
//
// The index is derived, and can be left out of every copy. A group goes into a
// table in memory after the journal's fsync, and a full table becomes a sorted
// file that does not change any more (package runs). Up to the last record of the
// newest such file nothing is missing; recovery adds all groups behind it again
// from the batch files, be they closed or not. The index knows fingerprints under
// a key of its own, so whatever is found is compared with the record itself. What
// is damaged of it is told by name, ends the intake, and is made again from the
// batch files at the next start.
//
// It also keeps a mark, the newest group that it has seen: a mark beyond the end
// of the files means that they lost what was acknowledged, and the archive
// refuses to start.
package archive
