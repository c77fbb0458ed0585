package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"

	"qifeng/api/client"
	"qifeng/proof/checkpoint"
)

// newClient is a client that tells a node which program asks.
func newClient(url string, o client.Options) (*client.Client, error) {
	o.UserAgent = "qifeng"
	c, err := client.New(url, o)
	if err != nil {
		return nil, usagef("--api: %w", err)
	}
	return c, nil
}

// client is a client of --api, or of the home's own node. It tries again for
// some seconds, as long as a node takes to start.
func (a *app) client() (*client.Client, error) { return a.clientWith(client.Options{}) }

func (a *app) clientWith(o client.Options) (*client.Client, error) {
	var err error
	if o.CA, err = a.caFile(); err != nil {
		return nil, err
	}
	if a.api != "" {
		return newClient(a.api, o)
	}
	cfg, err := a.home.config()
	if err != nil {
		return nil, usagef("no --api, and no home to take it from: %w", err)
	}
	url, err := ownNode(a.home, &cfg.API, &o)
	if err != nil {
		return nil, err
	}
	return newClient(url, o)
}

// reachable is the address at which this machine reaches a listener.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// isReady asks a node once. One that does not answer is not ready.
func isReady(ctx context.Context, url string) bool {
	c, err := client.New(url, client.Options{Attempts: 1})
	if err != nil {
		return false
	}
	r, err := c.Ready(ctx)
	return err == nil && r.Ready
}

// loadPolicy reads a trust policy file.
func loadPolicy(path string) (*checkpoint.Policy, error) {
	b, err := readSmall(path, checkpoint.MaxPolicy)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	p, err := checkpoint.ParsePolicy(b)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return p, nil
}

// trustPolicy is --policy, or the home's policy, or with a plain warning what
// the node says.
func (a *app) trustPolicy(ctx context.Context, c *client.Client, path string) (*checkpoint.Policy, error) {
	if p, err := a.localPolicy(path); p != nil || err != nil {
		return p, err
	}
	return a.nodePolicy(ctx, c)
}

// localPolicy is --policy or the home's policy, nil where there is neither.
func (a *app) localPolicy(path string) (*checkpoint.Policy, error) {
	if path != "" {
		return loadPolicy(path)
	}
	p, err := loadPolicy(a.home.path(policyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

// nodePolicy takes the node's own word, and says so.
func (a *app) nodePolicy(ctx context.Context, c *client.Client) (*checkpoint.Policy, error) {
	b, err := c.Policy(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the node for its policy: %w", err)
	}
	p, err := checkpoint.ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("reading the node's policy: %w", err)
	}
	a.note("警告：没有 --policy，使用节点 %s 自称的信任策略（链 %s）。这等于信任该节点；请另行取得策略后再验证。",
		"WARNING: no --policy: using the one that node %s states (chain %s). That is to trust this node; get the policy another way and verify again.",
		c.URL(), p.Chain)
	return p, nil
}
