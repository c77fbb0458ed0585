package node

import (
	"errors"
	"fmt"
	"net/netip"

	"qifeng/api"
	"qifeng/archive"
)

// LimitsConfig is the section [limits]. The defaults and their reasons are
// api.DefaultBounds and archive.DefaultLimits.
type LimitsConfig struct {
	Connections        int      `toml:"connections" comment:"同时连接数 · Connections at once; beyond it silent ones are closed. The process needs as many file descriptors\nand 512 more. Default 4096."`
	AddressConnections int      `toml:"address_connections" comment:"每个来源地址的连接数 · Connections of one address (IPv6: of one /64). Default 1024."`
	AddressRequests    int      `toml:"address_requests" comment:"每个来源地址每秒请求数；因调用者出错的请求按 100 个计 · Requests a second of one address. One that fails by the caller's\nfault counts as 100, and as 100 more for each 64 KiB of its body. Default 10000."`
	KeyRequests        int      `toml:"key_requests" comment:"每个提交密钥每秒请求数 · Requests a second signed by one key. Default 10000."`
	KeyRecords         int      `toml:"key_records" comment:"每个提交密钥每秒记录数 · Records a second signed by one key. Default 200000."`
	BodyMiB            int      `toml:"body_mib" comment:"内存中请求体总量 (MiB)，单个地址至多四分之一 · Bodies held in memory, MiB; one address has at most a quarter. Default 512."`
	BacklogRecords     int64    `toml:"backlog_records" comment:"已受理而未上链的记录数 · Records taken in and not yet on the chain. Default 4194304."`
	BacklogMiB         int64    `toml:"backlog_mib" comment:"同上，按 MiB 计 · The same in MiB. Default 8192."`
	KeyShare           int      `toml:"key_share" comment:"其中单个密钥至多占百分之几 · Per cent of it that one key may take. Default 50."`
	MemberShare        int      `toml:"member_share" comment:"其中单个成员至多占百分之几 · Per cent of it that one member may take. Default 75."`
	Exempt             []string `toml:"exempt" comment:"不按地址限制的代理网段 · Networks of proxies, which hold back their own callers: nothing is counted by these\naddresses, e.g. [\"10.0.0.5/32\"]. Default []."`
}

func defaultLimits() LimitsConfig {
	b, l := api.DefaultBounds(), archive.DefaultLimits()
	return LimitsConfig{
		Connections: b.Connections, AddressConnections: b.AddressConnections, AddressRequests: b.AddressRequests,
		KeyRequests: b.KeyRequests, KeyRecords: b.KeyRecords, BodyMiB: int(b.BodyBytes >> 20),
		BacklogRecords: l.BacklogRecords, BacklogMiB: l.BacklogBytes >> 20, KeyShare: l.KeyShare, MemberShare: l.MemberShare,
		Exempt: []string{},
	}
}

func (c *LimitsConfig) validate() error {
	for _, f := range []struct {
		name       string
		value      int64
		least, top int64
	}{
		{"connections", int64(c.Connections), 16, 1 << 20},
		{"address_connections", int64(c.AddressConnections), 1, 1 << 20},
		{"address_requests", int64(c.AddressRequests), 0, 1 << 30},
		{"key_requests", int64(c.KeyRequests), 0, 1 << 30},
		{"key_records", int64(c.KeyRecords), 0, 1 << 30},
		{"body_mib", int64(c.BodyMiB), 16, 1 << 20}, // the largest body fits into a quarter
		{"backlog_records", c.BacklogRecords, 1000, 1 << 32},
		{"backlog_mib", c.BacklogMiB, 64, 1 << 22},
		{"key_share", int64(c.KeyShare), 1, 100},
		{"member_share", int64(c.MemberShare), 1, 100},
	} {
		if f.value < f.least || f.value > f.top {
			return fmt.Errorf("%s: %d is outside %d to %d", f.name, f.value, f.least, f.top)
		}
	}
	if c.AddressConnections > c.Connections {
		return errors.New("address_connections: more than connections")
	}
	_, err := c.networks()
	return err
}

func (c *LimitsConfig) networks() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for i, text := range c.Exempt {
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() {
			return nil, fmt.Errorf("exempt[%d]: %q is no network such as 10.0.0.5/32 or fd00::/64", i, text)
		}
		if p.Addr().Is6() && p.Bits() > 64 {
			return nil, fmt.Errorf("exempt[%d]: IPv6 callers are counted by their /64: %q must be that or shorter", i, text)
		}
		out = append(out, p)
	}
	return out, nil
}

// api gives the bounds of the API; validate has seen that they are sound.
func (c *LimitsConfig) api() api.Bounds {
	exempt, _ := c.networks() // validated
	return api.Bounds{
		Connections: c.Connections, AddressConnections: c.AddressConnections, AddressRequests: rateOf(c.AddressRequests),
		KeyRequests: rateOf(c.KeyRequests), KeyRecords: rateOf(c.KeyRecords), BodyBytes: int64(c.BodyMiB) << 20, Exempt: exempt,
	}
}

// rateOf turns 0, which is no limit in the file, into what is none for the api.
func rateOf(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func (c *LimitsConfig) archive() archive.Limits {
	l := archive.DefaultLimits()
	l.BacklogRecords, l.BacklogBytes, l.KeyShare, l.MemberShare = c.BacklogRecords, c.BacklogMiB<<20, c.KeyShare, c.MemberShare
	return l
}
