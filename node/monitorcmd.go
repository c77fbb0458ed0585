package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/api/httpsig"
	"qifeng/api/monitor"
	"qifeng/proof/checkpoint"
)

// monitorFlags are those of monitor alone.
type monitorFlags struct {
	policy, state    string
	once, entries    bool
	interval, maxAge time.Duration
}

func (a *app) monitorCmd() *cobra.Command {
	var f monitorFlags
	cmd := &cobra.Command{
		Use:   "monitor [URL]",
		Short: "从外部盯住一个节点的总账 · Follow a node's ledger from outside",
		Long: `每隔一段时间取节点的最新检查点，按信任策略核对会签，要求它承接上一次所见（一致性路径，两种哈希），
并看会签是否新鲜。所见存入状态文件（0600），重启后接着核对；同一状态文件可轮流用于多个节点。
发现矛盾时把双方签过名的检查点写入状态文件旁的 qifeng-*.json 并退出：分叉还写出每个成员的欺诈证明。
一致性路径与条目须用登记的读取密钥；没有时只核对会签、新鲜与同一大小的分叉。
退出码：1 矛盾或虚假；--once 时 0 已证明，3 未证明（无应答、落后、陈旧、未会签）。

Fetches the node's newest checkpoint again and again, checks its seals by the trust policy, demands
that it continues what was seen before (by a consistency path, under both hashes), and that its
seals are fresh. What was seen is kept in the state file (mode 0600), across restarts; one state
file may be taken to several nodes in turn. On a contradiction it writes what both sides signed to
qifeng-*.json beside the state file and ends; of a fork also a fraud proof per member. Paths and
entries are read with a registered read key; without one only seals, freshness and forks of one
size are checked. Exit code 1 for a contradiction or a false answer; with --once 0 proved, 3 not
proved (no answer, behind, stale, not sealed).`,
		Example: example("qifeng monitor http://127.0.0.1:8100 --policy policy.txt --read-key read.pem",
			"qifeng monitor --home devnet/court-a --once --entries", "qifeng monitor https://node.example --policy policy.txt --json"),
		Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				a.api = args[0]
			}
			return a.monitor(ctx, f)
		}),
	}
	a.homeFlag(cmd)
	cmd.Flags().StringVar(&a.ca, "ca", a.getenv("QIFENG_CA"), "https 接口另外信任的 CA 证书文件 (PEM) · PEM file of CA certificates to trust besides the system's, for an https API")
	a.timeoutFlag(cmd, defaultTimeout)
	cmd.Flag("timeout").Usage = "每次查看的时限 · time limit of one look"
	a.readKeyFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.policy, "policy", "", "信任策略，默认 <home>/policy.txt · trust policy, default that of the home")
	cmd.Flags().StringVar(&f.state, "state", "", "状态文件，默认 ./<链号>.monitor.json · state file, default ./<chain id>.monitor.json")
	cmd.Flags().BoolVar(&f.once, "once", false, "只看一次 · look once")
	cmd.Flags().BoolVar(&f.entries, "entries", false, "另外逐条核对整个总账：签名、序号、两个根 · audit every ledger entry too: signatures, numbers, both roots")
	cmd.Flags().DurationVar(&f.interval, "interval", 10*time.Second, "两次之间 · between two looks")
	cmd.Flags().DurationVar(&f.maxAge, "max-age", 2*time.Minute, "会签超过此时即陈旧，0 不看 · from when on seals are stale, 0 for never")
	return cmd
}

func (a *app) monitor(ctx context.Context, f monitorFlags) error {
	if f.interval < minInterval || f.maxAge < 0 {
		return usagef("--interval must be at least %v, --max-age not negative", minInterval)
	}
	c, err := a.monitorClient(f.once)
	if err != nil {
		return err
	}
	policy, stated, err := a.monitorPolicy(ctx, c, f.policy)
	if err != nil {
		return err
	}
	if f.state == "" {
		f.state = policy.Chain + ".monitor.json"
	}
	state, err := loadMonitorState(f.state)
	if err != nil {
		return err
	}
	if digest, err := monitor.PolicyDigest(policy); err != nil {
		return err
	} else if stated && state != nil && state.Policy != digest {
		return usagef("%s was made under another policy than the node states now: give --policy", f.state)
	}
	m, err := monitor.New(monitor.Config{Policy: policy, State: state, MaxAge: f.maxAge, Second: true, Entries: f.entries})
	if err != nil {
		return usagef("%s: %w", f.state, err)
	}
	a.note("链 %s，节点 %s，状态文件 %s", "chain %s, node %s, state file %s", policy.Chain, c.URL(), f.state)
	return a.follow(ctx, c, m, f)
}

// follow looks until it is to end. What is proved is on the disk before it is
// said.
func (a *app) follow(ctx context.Context, c *client.Client, m *monitor.Monitor, f monitorFlags) error {
	for {
		look, cancel := context.WithTimeout(ctx, a.timeout)
		r := m.Round(look, c)
		cancel()
		if ctx.Err() != nil {
			return nil // told to end, in the middle of a look
		}
		if err := saveMonitorState(f.state, m.State()); err != nil {
			return fmt.Errorf("what was seen cannot be kept: %w", err)
		}
		files, err := writeAlarm(filepath.Dir(f.state), r.Alarm)
		if err := errors.Join(a.printLook(r, files), err); err != nil {
			return err
		}
		switch {
		case r.Outcome == monitor.OtherChain:
			return usagef("the node is of another chain than the policy: %s", r.Reason)
		case r.Alarm != nil, f.once && r.False():
			return quietExit(exitFailed)
		case f.once && !r.Proved():
			return quietExit(exitNotProved)
		case f.once:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
	}
}

// monitorClient signs with the read key, if there is one.
func (a *app) monitorClient(once bool) (*client.Client, error) {
	path := a.readKey
	if path == "" {
		path = a.home.path(readKey)
	}
	o := client.Options{Attempts: 1} // the next look is the next attempt
	if once {
		o.Attempts = 0
	}
	key, err := loadUserKey(path)
	switch {
	case a.readKey == "" && errors.Is(err, fs.ErrNotExist):
		a.note("没有读取密钥（--read-key）：取不到一致性路径，总账增长无法证明", "no read key (--read-key): no consistency paths, so growth cannot be proved")
	case err != nil:
		return nil, usagef("--read-key: %w", err)
	default:
		o.KeyID, o.Signer = httpsig.KeyID(key.Member, key.Name), key
	}
	return a.clientWith(o)
}

// monitorPolicy is --policy, the home's or, stated, what the node says.
func (a *app) monitorPolicy(ctx context.Context, c *client.Client, path string) (p *checkpoint.Policy, stated bool, err error) {
	if p, err = a.localPolicy(path); p != nil || err != nil {
		return p, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	if p, err = a.nodePolicy(ctx, c); err != nil {
		return nil, false, &codeError{code: exitNotProved, err: err}
	}
	return p, true, nil
}

// loadMonitorState reads a state file, nil where there is none. One that cannot
// be read is never begun anew.
func loadMonitorState(path string) (*monitor.State, error) {
	b, err := readSmall(path, monitor.MaxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usagef("--state: %w", err)
	}
	s, err := monitor.ParseState(b)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return s, nil
}

// saveMonitorState keeps what is proved; before anything is, there is nothing.
func saveMonitorState(path string, s *monitor.State) error {
	if s == nil {
		return nil
	}
	text, err := s.Marshal()
	if err != nil {
		return err
	}
	return replaceFile(path, text, 0o600)
}

// writeAlarm writes a contradiction and its fraud proofs. Their names are those
// of their content: what is there already is the same.
func writeAlarm(dir string, alarm *monitor.Alarm) ([]string, error) {
	if alarm == nil {
		return nil, nil
	}
	name := filepath.Join(dir, alarm.Name())
	files := []string{name}
	errs := []error{writeOnce(name, alarm.Marshal())}
	for _, fraud := range alarm.Frauds() {
		text, err := fraud.Marshal()
		if err == nil {
			name := strings.TrimSuffix(name, ".json") + "-" + fraud.Member + ".fraud.json"
			files, err = append(files, name), writeOnce(name, text)
		}
		errs = append(errs, err)
	}
	return files, errors.Join(errs...)
}

func writeOnce(path string, data []byte) error {
	if err := writeNew(path, data, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the contradiction cannot be kept: %w", err)
	}
	return nil
}
