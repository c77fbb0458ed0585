package chain

import (
	"fmt"
	"slices"

	"qifeng/evidence"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// member is what the chain needs to know of one member.
type member struct {
	id        string
	intake    gm.PublicKey
	admin     gm.PublicKey
	consensus gm.PublicKey
	nodeID    string
	peer      string
}

// consortium is what the genesis fixes. It never changes while the chain has
// one epoch.
type consortium struct {
	raw     []byte // the genesis bytes: entry 0 of the ledger
	genesis *evidence.Genesis
	chainID string
	origin  string
	policy  *checkpoint.Policy
	ids     []string // sorted
	members map[string]member
	byNode  map[string]string // p2p node id -> member id
}

// newConsortium reads canonical genesis bytes.
func newConsortium(raw []byte) (*consortium, error) {
	g, err := evidence.ParseGenesis(raw)
	if err != nil {
		return nil, err
	}
	policy, err := proof.GenesisPolicy(g)
	if err != nil {
		return nil, fmt.Errorf("deriving the policy: %w", err)
	}
	c := &consortium{
		raw: slices.Clone(raw), genesis: g, chainID: g.ChainID(), origin: checkpoint.Origin(g.ChainID()), policy: policy,
		members: make(map[string]member, len(g.Cards)), byNode: make(map[string]string, len(g.Cards)),
	}
	if policy.Chain != c.chainID {
		return nil, fmt.Errorf("the policy is of chain %s, the genesis of %s", policy.Chain, c.chainID)
	}
	for _, card := range g.Cards {
		c.ids = append(c.ids, card.ID)
		c.members[card.ID] = member{id: card.ID, intake: card.Intake, admin: card.Admin,
			consensus: card.Consensus, nodeID: card.NodeID, peer: card.Peer}
		c.byNode[card.NodeID] = card.ID
	}
	slices.Sort(c.ids)
	return c, nil
}

// checkpoint is the checkpoint of a size and its root.
func (c *consortium) checkpoint(size uint64, root merkle.Digest) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{Origin: c.origin, Size: size, Root: root}
}

// sealer returns the seal keys of a member in the epoch of a size.
func (c *consortium) sealer(id string, size uint64) (checkpoint.Member, bool) {
	e, err := c.policy.EpochOf(size)
	if err != nil {
		return checkpoint.Member{}, false
	}
	return e.Member(id)
}

// judge applies the quorum of a size's epoch to verified seals.
func (c *consortium) judge(size uint64, seals []checkpoint.Seal) checkpoint.Verdict {
	e, err := c.policy.EpochOf(size)
	if err != nil {
		return checkpoint.Verdict{Missing: err.Error()}
	}
	return e.Quorum.Judge(e, seals)
}
