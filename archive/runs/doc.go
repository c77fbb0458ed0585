// Package runs is an index of fingerprints that does not rewrite itself: the
// newest entries are in a table in memory, the others in sorted immutable files
// (runs), which are merged in the background.
//
// It maps a fingerprint ([Print], a keyed hash of what is looked up) to the
// places of records. It is not a store of keys: two keys may have one
// fingerprint, so whoever finds something checks it against the record itself.
// And it is not a log: what was added since the last run is lost in a crash, and
// the owner adds it again from its own files. [Store.Durable] says from where.
//
// # Invariants
//
//   - Places rise from group to group. So runs cover rising ranges that do not
//     overlap, and what is found comes out in the order in which it was added.
//   - A group is in a run whole or not at all, and a run is added to the set of
//     runs only with everything before it: up to Durable nothing is missing.
//   - What Add returned for is found from then on, without any gap while a table
//     becomes a run or runs become one.
//   - Memory is bounded, but for 8 bytes for 130,305 entries: fences and the filters
//     of large runs stay on the disk. New ids do not wait for them: a record has a
//     time of its own, which its id is of too, so it is in no run whose latest
//     time is before that.
//
// # Who may lie to it
//
// Those who choose the keys: the fingerprint is SipHash-2-4 under a secret key
// drawn at the beginning, so nobody can aim at a slot, a filter or another's
// fingerprint. The disk: every block has a checksum; a block that fails it is a
// [DamagedError], the set of runs is then given up, and the next start makes it
// again. Those who choose the records' times: one far ahead makes others' look-ups
// read the filter of each run that it comes into. The owner is trusted.
//
// # Files
//
// Numbers are big-endian. A checksum is CRC-32C over what is before it in its
// block and the number of that (8).
//
//	MANIFEST       text: the version, the key and the numbers of the live runs, oldest first
//	NUMBER.run     a run, 16 decimal digits
//	*.tmp          not finished
//
// A run is blocks of 4096 bytes, each of which ends in its checksum, with zeros
// between that and its content:
//
//	block 0      "QFRUN" 0 0 and the version byte 2; number (8); first and last
//	             place (16 each); count of ids (8); count of list entries (8);
//	             latest time of a record (8, signed)
//	ids          255 entries a block
//	lists        the same
//	filter       127 groups of 32 bytes a block, for the ids
//	fences       511 a block: the first fingerprint (8) of each block of ids
//	fences       the same, of lists
//
// An entry is the fingerprint (6), seq less that of the run's first place (4),
// offset (4), position (2); entries rise as byte strings do. A place in the
// header is seq (8), offset (4), position (4).
//
// # Commit order
//
// Of a new run, whether from a table or from runs:
//
//  1. write under a temporary name, fsync, rename, fsync of the folder;
//  2. replace MANIFEST in the same way;
//  3. look-ups see the new set; files that are in it no more are removed when
//     the last look-up has left them.
//
// A crash leaves the set before or the one after, and files that belong to
// neither, which the next start removes.
package runs
