// Package drills hurts single members of a real network of four processes, most of
// it for longer than `go test ./...` has time for: scripts/drills.sh runs that. A
// member is killed between guard, signature and send; its home is put back from a
// copy, or lost and restored from a backup (in `go test ./...`); its disk is full
// (there too); it signs slowly, is away, has a wrong clock, a corrupt file or a
// lost key; the outside witnesses of its anchors are away; or all four are hurt at
// random (scripts/perturb.sh). The package looks from outside, as an operator
// does, and holds every record that was acknowledged against its proof at the end.
//
// Two of its programs are not what is shipped: one is built with the tag
// "faults" (chain/faults.go), the other with a standard library whose clock is
// wrong by what QIFENG_DRILL_SKEW says, so that everything in the process is.
package drills
