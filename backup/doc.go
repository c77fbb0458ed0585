// Package backup copies what makes a node on a new disk the same node again, and
// puts it back: configuration, genesis, policy, card, keys, audit log, fraud
// proofs, the receipts of anchors and the archive. The node may run while it is copied.
//
// It is no archive of its own and no mirror: it answers no look-up, and it
// checks digests, not evidence; what the files say is checked when the restored
// archive is opened, and by fsck. The chain's data is left out: every member has
// it (docs/adr/0032-backup.md).
//
// # Invariants
//
//   - The newest whole backup stays usable until the next one is whole: what can
//     change is copied into a new set, what cannot is never written over, and the
//     manifest, written last, replaces the old one atomically.
//   - A batch that was backed up is never forgotten, whatever the home has lost
//     since: the next manifest goes on naming it.
//   - A folder holds the backup of one node of one chain.
//   - Nothing outside the home and its data folder is read, nothing outside the
//     new home and its data folder is written, whatever links or names say.
//   - A home that was put back carries both marks, the chain's and the archive's,
//     before it has the configuration without which no command takes it.
//
// # Who may lie to it
//
// The disk that holds the backup: every file is held against two digests in the
// manifest. Whoever can write there can change manifest and files together; what
// finds him are the signatures in the files. Keys in a backup are as
// secret as in a home: the folder is closed to others, and not encrypted.
//
// # The folder
//
//	BACKUP                        whose backup this is; written first
//	MANIFEST                      what the newest backup has; written last
//	lock                          held by the command that writes
//	batches/FOLDER/NAME           closed batches, under the archive's names; never change
//	set-NNNNNN/home/…, /data/…    what can change: journals, keys, configuration
//
// MANIFEST is text in lines of ASCII, paths excepted:
//
//	qifeng-backup/v1
//	chain CHAIN-ID
//	node MEMBER-ID
//	taken 2026-11-21T08:00:00.000Z
//	set set-000001
//	keys yes|no
//	file MODE SIZE SM3 SHA256 PATH     sorted by PATH, which begins with home/ or data/
//	left-out PATH                      what was there, or is configured, and was not copied
//	sum SM3 SHA256                     of everything before this line
package backup
