package proof

import (
	"fmt"

	"qifeng/evidence"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// GenesisPolicy returns the trust policy that a genesis states: one epoch that
// begins with the ledger. Whether to trust it is for the reader of the genesis.
func GenesisPolicy(g *evidence.Genesis) (*checkpoint.Policy, error) {
	p := &checkpoint.Policy{
		Chain:   g.ChainID(),
		Genesis: merkle.Sum(g.Raw),
		Epochs:  []checkpoint.Epoch{{First: 1, Quorum: g.Quorum, Members: g.Members()}},
	}
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("policy of the genesis: %w", err)
	}
	return p, nil
}
