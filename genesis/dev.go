package genesis

import (
	"fmt"
	"net"
	"strconv"

	"qifeng/proof/checkpoint"
)

// A DevMember is one member of a development network, on this machine.
type DevMember struct {
	ID   string          `json:"id"`
	Role checkpoint.Role `json:"role"`
	API  string          `json:"api"`  // host:port
	Peer string          `json:"peer"` // host:port
}

// devMembers are the members of every development network: the three neutral
// roles, and the vendor whom none of them has to trust.
var devMembers = []struct {
	id, name string
	role     checkpoint.Role
}{
	{"court-a", "示例法院 Court A", checkpoint.Court},
	{"notary-a", "示例公证处 Notary A", checkpoint.Notary},
	{"arbitration-a", "示例仲裁委 Arbitration A", checkpoint.Arbitration},
	{"vendor-a", "示例平台 Vendor A", checkpoint.Vendor},
}

const (
	// DevVendor is the member that takes submissions in a development network.
	DevVendor = "vendor-a"

	// DevPorts is how many ports above its base a development network may use.
	DevPorts = 20

	// devPeerOffset is where the peer ports begin.
	devPeerOffset = 10
)

// DevLayout lays out a development network on 127.0.0.1: APIs at base+i, peers
// at base+10+i.
func DevLayout(base int) ([]DevMember, error) {
	if base < 1 || base+DevPorts > 65536 {
		return nil, fmt.Errorf("first port %d: must be 1 to %d", base, 65536-DevPorts)
	}
	out := make([]DevMember, len(devMembers))
	for i, m := range devMembers {
		out[i] = DevMember{ID: m.id, Role: m.role, API: local(base + i), Peer: local(base + devPeerOffset + i)}
	}
	return out, nil
}

// Name is the member's display name.
func (m DevMember) Name() string {
	for _, d := range devMembers {
		if d.id == m.ID {
			return d.name
		}
	}
	return m.ID
}

// CheckDev refuses a list of members that DevLayout never makes: their ids
// become names of folders, and their addresses must not leave the machine.
func CheckDev(members []DevMember) error {
	if len(members) != len(devMembers) {
		return fmt.Errorf("%d members, must be %d", len(members), len(devMembers))
	}
	for i, m := range members {
		if m.ID != devMembers[i].id || m.Role != devMembers[i].role {
			return fmt.Errorf("member %d is %q (%s), must be %s (%s)", i+1, m.ID, m.Role, devMembers[i].id, devMembers[i].role)
		}
		for _, addr := range []string{m.API, m.Peer} {
			host, port, err := net.SplitHostPort(addr)
			if err != nil || host != "127.0.0.1" {
				return fmt.Errorf("member %s: %q is no address of 127.0.0.1", m.ID, addr)
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return fmt.Errorf("member %s: %q has no port", m.ID, addr)
			}
		}
	}
	return nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
