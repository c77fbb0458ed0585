package checkpoint

import "qifeng/internal/gm"

// Witness is a C2SP witness outside the consortium, whose cosignatures
// (cosignature/v1, type 0x04) may stand in a note beside the members' lines.
// It cosigns the SHA-256 half only.
type Witness struct {
	Name string // the key name on its signature lines
	Key  gm.PublicKey
}
