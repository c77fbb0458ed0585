// Package fsck reads the home of a stopped node from the first byte to the last
// and recomputes all that it states: from the records over the roots of their
// streams, the signed header of their batch, the ledger's entry, the ledger's
// roots and the AppHash in the blocks, to the checkpoint that the members
// sealed. It names the first thing that is wrong, and where.
//
// It is not a repair tool: it never writes, not even a lock file. It is not the
// verifier of a proof (package proof), which needs no home, and it says nothing
// about what a home never had.
//
// # Independence
//
// It shares no code with those who wrote the home, archive and chain: a fault
// there would else hide itself. Frames, groups and footers are read by the
// description in archive/doc.go, the keys of the ledger's store by the one in
// chain/store.go, the files of the index by the one in archive/runs/doc.go, and
// goleveldb reads through a storage of our own that cannot write. The pure rooms are
// shared: canonical JSON, the documents, trees, signatures, which are verified by the
// library and not with the tables that intake uses.
//
// # Invariants
//
//   - Nothing in the home is changed or made.
//   - A running node is refused: the locks that a node holds are taken, shared.
//   - Memory does not grow with the home: files are read frame by frame, the
//     ledger entry by entry; what stays is the register of keys and, for each
//     worker, the trees of one batch.
//   - The first wrong thing is the same in every run, however many workers.
//   - No input makes it panic. CometBFT and goleveldb may; that is caught and
//     said of the file that they were given.
//
// # Order
//
//  1. genesis, policy, card and keys, each against the genesis;
//  2. the ledger, entry by entry, beside the blocks, height by height: entries,
//     tree nodes, register, cursors, AppHash, commits, seals, quorum;
//  3. what CometBFT keeps besides, the guard and the last vote;
//  4. the archive, batch by batch: records, statements with the keys of the
//     register at that ledger size, receipts, roots, footer, header, its entry on
//     the ledger; then the folders: names, numbers, gaps; then its index, file by
//     file: blocks, order, fences, filter, and that its entries are those that
//     follow from the records;
//  5. the receipts of anchors, each with its note and as a court would verify it;
//  6. the audit log and the fraud proofs.
//
// # A restored home
//
// A home that was put back from a backup has no ledger until it is started: then
// keys of statements and the ledger's entries are not asked for, and a note says
// so. Later, numbers that the restoration passed over and batches that its list
// names as lost, each held against the ledger, are notes.
//
// # What it cannot see
//
// A journal that is cut exactly between two frames, or in the middle of its last
// one, looks like that of a node whose machine lost power, unless the index has seen
// what the journal lacks; who cuts the journal can remove the index too, or its
// newest file. Seals beyond a quorum, and the audit log's newest lines, can be taken
// out unseen: nothing else in the home counts them. CometBFT's write-ahead log can
// be changed so that it looks like one that a crash has cut; it is no evidence.
//
// # Who may lie to it
//
// Whoever could write to the disk, the node's software included. Only the keys in
// the genesis are believed, and the genesis as far as the caller compares its
// chain id with what the consortium knows.
package fsck
