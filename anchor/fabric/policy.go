package fabric

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// applicationPolicies is where a chaincode's policy may refer to; a reference
// without a slash at its beginning means a policy there.
const applicationPolicies = "/Channel/Application/"

// reference reads a policy of the channel's application by its name.
func (d *distiller) reference(application *common.ConfigGroup, ref string) (int, error) {
	name, ok := strings.CutPrefix(ref, applicationPolicies)
	if !ok && strings.HasPrefix(ref, "/") || strings.Contains(name, "/") || name == "" {
		return 0, fmt.Errorf("it is the channel's policy %q; only those of %s can be pinned", ref, applicationPolicies)
	}
	policy := application.GetPolicies()[name].GetPolicy()
	switch common.Policy_PolicyType(policy.GetType()) {
	case common.Policy_SIGNATURE:
		var rule common.SignaturePolicyEnvelope
		if err := proto.Unmarshal(policy.Value, &rule); err != nil {
			return 0, err
		}
		return d.fewest(&rule)
	case common.Policy_IMPLICIT_META:
		var meta common.ImplicitMetaPolicy
		if err := proto.Unmarshal(policy.Value, &meta); err != nil {
			return 0, err
		}
		return implicit(meta.Rule, len(application.Groups)) // as Fabric, of all groups
	}
	return 0, fmt.Errorf("the channel has no policy %q", ref)
}

// implicit is how many of n organisations an implicit meta policy asks for.
func implicit(rule common.ImplicitMetaPolicy_Rule, n int) (int, error) {
	switch rule {
	case common.ImplicitMetaPolicy_ANY:
		return 1, nil
	case common.ImplicitMetaPolicy_ALL:
		return n, nil
	case common.ImplicitMetaPolicy_MAJORITY:
		return n/2 + 1, nil
	}
	return 0, fmt.Errorf("an implicit policy with the rule %v", rule)
}

// fewest is the size of the smallest set of organisations that can meet a
// signature policy, and notes where it is not the same for every set of that size.
func (d *distiller) fewest(rule *common.SignaturePolicyEnvelope) (int, error) {
	orgs := make([]string, len(rule.Identities))
	for i, p := range rule.Identities {
		id, err := mspOf(p)
		if err != nil {
			return 0, err
		}
		orgs[i] = id
	}
	names := slices.Compact(slices.Sorted(slices.Values(orgs)))
	if len(names) == 0 || len(names) > maxSubsets {
		return 0, fmt.Errorf("it names %d organisations, 1 to %d can be pinned", len(names), maxSubsets)
	}
	sizes := make([]int, len(names)+1) // how many sets of each size meet it
	for set := range 1 << len(names) {
		met, err := meets(rule.Rule, func(i int32) bool {
			return i >= 0 && int(i) < len(orgs) && set&(1<<slices.Index(names, orgs[i])) != 0
		}, 0)
		if err != nil {
			return 0, err
		}
		if met {
			sizes[bits.OnesCount(uint(set))]++
		}
	}
	for k, n := range sizes {
		if n == 0 {
			continue
		}
		if k == 0 {
			return 0, errors.New("it is met by nobody's signature")
		}
		if n != binomial(len(names), k) || len(names) != len(d.channel.Organisations) {
			d.note("背书策略指明了组织（%s）：固定的形式计通道内任意 %d 个组织",
				"the endorsement policy names organisations (%s): the pinned form counts any %d of the channel's", strings.Join(names, ", "), k)
		}
		return k, nil
	}
	return 0, errors.New("it can never be met")
}

func binomial(n, k int) int {
	out := 1
	for i := range k {
		out = out * (n - i) / (i + 1)
	}
	return out
}

// meets says whether a set of organisations, all of whose members sign, meets a
// rule.
func meets(rule *common.SignaturePolicy, in func(int32) bool, depth int) (bool, error) {
	if depth > maxPolicyDepth {
		return false, fmt.Errorf("it is nested more than %d deep", maxPolicyDepth)
	}
	switch t := rule.GetType().(type) {
	case *common.SignaturePolicy_SignedBy:
		return in(t.SignedBy), nil
	case *common.SignaturePolicy_NOutOf_:
		n := int32(0)
		for _, r := range t.NOutOf.GetRules() {
			met, err := meets(r, in, depth+1)
			if err != nil {
				return false, err
			}
			if met {
				n++
			}
		}
		return n >= t.NOutOf.GetN(), nil
	}
	return false, errors.New("a rule that is not known")
}

func mspOf(p *msp.MSPPrincipal) (string, error) {
	var id string
	var err error
	switch p.GetPrincipalClassification() {
	case msp.MSPPrincipal_ROLE:
		var r msp.MSPRole
		err = proto.Unmarshal(p.Principal, &r)
		id = r.MspIdentifier
	case msp.MSPPrincipal_ORGANIZATION_UNIT:
		var u msp.OrganizationUnit
		err = proto.Unmarshal(p.Principal, &u)
		id = u.MspIdentifier
	case msp.MSPPrincipal_IDENTITY:
		var s msp.SerializedIdentity
		err = proto.Unmarshal(p.Principal, &s)
		id = s.Mspid
	default:
		return "", fmt.Errorf("it names a signer by %v, which is not known", p.GetPrincipalClassification())
	}
	return id, err
}
