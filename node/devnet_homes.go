package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"qifeng/genesis"
)

// What every member of a network in containers listens on. Each container has
// its own network, so the ports are the same in all of them, and nothing
// outside reaches them but what the engine publishes.
const (
	containerAPI  = 8100
	containerPeer = 8110
)

func (a *app) devnetHomesCmd(dir *string) *cobra.Command {
	var published []int
	cmd := &cobra.Command{
		Use:   "homes",
		Short: "为四个容器建立成员目录 · Make the homes of four containers",
		Long: `在目录中建立四个成员目录并加入同一条链，各供一个以成员编号为主机名的容器（见 docker-compose.yml），不运行节点。
接口监听容器内全部地址：只可发布到宿主机的 127.0.0.1。再次运行不改变任何内容；从不替换或删除密钥。
Makes four homes in the folder and joins them to one chain, each for a container whose host
name is the member's id (see docker-compose.yml), and runs nothing. The API listens on every
address of its container: publish it on the host's 127.0.0.1 only. A later run changes nothing;
keys are never replaced or deleted.`,
		Example: example("qifeng devnet homes --dir /homes"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			chainID, made, err := makeContainerHomes(*dir, published, time.Now())
			if err != nil {
				return err
			}
			if !made {
				a.say("%s 中的四个成员目录早已建立，链 %s", "the four homes in %s were made before, chain %s", *dir, chainID)
				return nil
			}
			a.say("已在 %s 建立四个成员目录，链 %s", "made four homes in %s, chain %s", *dir, chainID)
			return nil
		}),
	}
	cmd.Flags().IntSliceVar(&published, "published", []int{8100, 8101, 8102, 8103},
		"四个接口发布到宿主机的端口，依次为法院、公证处、仲裁委、平台 · the host's ports at which the four APIs are published: court, notary, arbitration, vendor")
	return cmd
}

func (a *app) devnetSubmitKeyCmd() *cobra.Command {
	var also []string
	cmd := &cobra.Command{
		Use:   "submit-key",
		Short: "生成并登记成员目录的提交与读取密钥 · Make and register the submit and read keys of a home",
		Long: `等到本机节点就绪，在成员目录生成 keys/read.pem，平台另有 keys/submit.pem（如尚无），并登记到链上。
再次运行不改变任何内容。
Waits until the home's own node is ready, makes keys/read.pem, and for a vendor keys/submit.pem,
if there are none, and registers them on the chain. A later run changes nothing.`,
		Example: example("qifeng devnet submit-key --home /homes/vendor-a"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			cfg, err := a.home.config()
			if err != nil {
				return &codeError{code: exitUsage, err: err}
			}
			url := "http://" + reachable(cfg.API.Listen)
			if err := waitReady(ctx, url); err != nil {
				return fmt.Errorf("waiting until %s is ready: %w", cfg.Member.ID, err)
			}
			for _, h := range append([]string{string(a.home)}, also...) {
				if err := ensureKeys(ctx, home(h), url); err != nil {
					return err
				}
			}
			a.say("%s 的密钥已登记", "the keys of %s are registered", cfg.Member.ID)
			return nil
		}),
	}
	a.homeFlag(cmd)
	cmd.Flags().StringArrayVar(&also, "also", nil, "另一成员的目录，经同一节点登记，可重复 · home of another member, registered through the same node; may repeat")
	a.timeoutFlag(cmd, readyTimeout)
	return cmd
}

// makeContainerHomes makes the homes of a development network in which each
// member is a container. Order: every home; then the genesis into one home
// after the other. What an earlier run left whole is kept, and a genesis that
// one home holds is that of all, so a run that was cut short is taken up; only
// a home cut short in the middle has to be deleted by hand. There is no file
// beside the homes: each of them is a volume, and nothing else is written.
func makeContainerHomes(dir string, published []int, now time.Time) (chainID string, made bool, err error) {
	members, err := genesis.DevLayout(containerAPI)
	if err != nil {
		return "", false, err
	}
	if len(published) != len(members) {
		return "", false, usagef("--published: %d ports for %d members", len(published), len(members))
	}
	raw, whole, err := commonGenesis(dir, members)
	if err != nil {
		return "", false, err
	}
	if whole { // the nodes may be running, so there is no lock to take
		c, err := readConsortium(raw)
		if err != nil {
			return "", false, err
		}
		return c.ChainID, false, nil
	}
	plan := genesis.Plan{Name: devChain, CreatedAt: now}
	for i, m := range members {
		h := home(filepath.Join(dir, m.ID))
		unlock, err := lockHome(h)
		if err != nil {
			return "", false, err
		}
		defer unlock()
		card, err := containerHome(h, m, published[i], raw != nil)
		if err != nil {
			return "", false, err
		}
		plan.Cards = append(plan.Cards, card)
	}
	if raw == nil {
		c, err := genesis.Build(plan)
		if err != nil {
			return "", false, err
		}
		raw = c.Genesis.Raw
	}
	for _, m := range members {
		if chainID, err = joinConsortium(home(filepath.Join(dir, m.ID)), raw); err != nil {
			return "", false, fmt.Errorf("%s: %w", m.ID, err)
		}
	}
	return chainID, true, nil
}

// commonGenesis is the one genesis that the homes of dir hold, nil if none
// does. They are whole when each has joined: the policy is written last.
func commonGenesis(dir string, members []genesis.DevMember) (raw []byte, whole bool, err error) {
	whole = true
	for _, m := range members {
		h := home(filepath.Join(dir, m.ID))
		b, err := readSmall(h.path(genesisName), maxSmallFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, false, err
		}
		if b != nil && raw != nil && string(b) != string(raw) {
			return nil, false, fmt.Errorf("the homes in %s are of more than one chain (%s)", dir, m.ID)
		}
		if b != nil {
			raw = b
		}
		whole = whole && b != nil && exists(h.path(policyName))
	}
	return raw, whole, nil
}

// containerHome makes the home of m, or finds it whole, and returns its card.
// Once one home has joined a chain, the keys of all are in its genesis, and an
// empty home is a loss that new keys do not mend.
func containerHome(h home, m genesis.DevMember, published int, founded bool) ([]byte, error) {
	switch {
	case exists(h.path(configName)):
		return readSmall(h.path(cardName), maxCardFile)
	case founded:
		return nil, fmt.Errorf("%s has no home of %s, but the others have joined a chain that needs its keys: "+
			"put them back, or delete all four homes and begin a new chain", string(h), m.ID)
	}
	card, err := makeHome(h, initSpec{ID: m.ID, Name: m.Name(), Role: m.Role,
		APIListen: everyAddress(containerAPI), AllowRemote: true, Origins: containerOrigins(m.ID, published),
		PeerListen: everyAddress(containerPeer), PeerAddress: net.JoinHostPort(m.ID, strconv.Itoa(containerPeer))})
	if err != nil {
		return nil, fmt.Errorf("making the home of %s: %w", m.ID, err)
	}
	return card, nil
}

// containerOrigins are the addresses of a member's container: by its name among
// the containers, and where docker-compose.yml publishes it on the host. In the
// court's container, whose port is the same on both sides, loopback is one too.
func containerOrigins(member string, published int) []string {
	return []string{
		"http://" + net.JoinHostPort(member, strconv.Itoa(containerAPI)),
		"http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(published)),
		"http://" + net.JoinHostPort("localhost", strconv.Itoa(published)),
	}
}

func lockHome(h home) (unlock func(), err error) {
	if err := os.MkdirAll(string(h), 0o700); err != nil {
		return nil, err
	}
	return lockDir(string(h))
}

func everyAddress(port int) string { return net.JoinHostPort("0.0.0.0", strconv.Itoa(port)) }
