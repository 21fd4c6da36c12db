# The Wavegate agent on a NixOS host. docs/nixos.md says how it is used.
#
#   imports = [ wavegate/packaging/nixos/module.nix ];
#   services.wavegate-agent = {
#     enable = true;
#     package = wavegate-agent;
#     settings = {
#       url = "https://cp.example:8443";
#       trust = "/etc/wavegate/trust.json";
#       token_file = "/run/secrets/wavegate-token";
#     };
#   };
{ config, lib, pkgs, ... }:

let
  cfg = config.services.wavegate-agent;
  settings = { nixos = true; } // cfg.settings;
  configFile = (pkgs.formats.toml { }).generate "wavegate-agent.toml" settings;
in
{
  options.services.wavegate-agent = {
    enable = lib.mkEnableOption "the Wavegate agent, which switches this host to the systems that signed releases name";

    package = lib.mkOption {
      type = lib.types.package;
      description = "The package that has bin/wavegate-agent.";
    };

    settings = lib.mkOption {
      type = (pkgs.formats.toml { }).type;
      default = { };
      example = {
        url = "https://cp.example:8443";
        trust = "/etc/wavegate/trust.json";
        token_file = "/run/secrets/wavegate-token";
      };
      description = ''
        The agent's configuration: the flags of `wavegate-agent run` in snake_case. `nixos` is set.
        Name secrets by paths outside the store: every user of the host can read the store.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.settings ? url && cfg.settings ? trust;
        message = "services.wavegate-agent.settings needs url and trust.";
      }
    ];

    # Only what is signed by these keys comes onto the host, whoever asks for it.
    nix.settings.require-sigs = true;

    # `wavegate-agent status` and its like, for people on the host.
    environment.systemPackages = [ cfg.package ];

    systemd.services.wavegate-agent = {
      description = "Wavegate agent";
      documentation = [ "https://github.com/wavegate/wavegate" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];

      # nix, nix-store and nix-env; systemd-run, systemctl and journalctl.
      path = [ config.nix.package config.systemd.package ];

      # Never given up on: whatever was wrong may pass.
      startLimitIntervalSec = 0;

      # A switch may restart the agent: it finds the switch again and goes on. A new agent is used at once.
      restartIfChanged = true;

      serviceConfig = {
        ExecStart = "${lib.getExe' cfg.package "wavegate-agent"} run --config ${configFile}";
        StateDirectory = "wavegate-agent";
        StateDirectoryMode = "0700";
        Restart = "always";
        RestartSec = 1;
        RestartPreventExitStatus = 2;
        TimeoutStopSec = 30;
        LimitNOFILE = 16384;
        OOMScoreAdjust = -500;

        # The switch itself runs in a unit of its own and inherits nothing of this.
        CapabilityBoundingSet = [
          "~CAP_SYS_TIME CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_PTRACE CAP_SYS_PACCT CAP_SYS_TTY_CONFIG"
          "~CAP_SYSLOG CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_BPF CAP_PERFMON CAP_LEASE CAP_IPC_LOCK CAP_NET_RAW CAP_NET_BROADCAST"
          "~CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_MKNOD"
        ];
        NoNewPrivileges = true;
        LockPersonality = true;
        RestrictRealtime = true;
        KeyringMode = "private";
        ProtectClock = true;
        ProtectHostname = true;
        ProtectHome = true;
        ProtectKernelModules = true;
        ProtectKernelLogs = true;
        ProtectKernelTunables = true;
        ProtectControlGroups = true;
        PrivateDevices = true;
        DevicePolicy = "closed";
        SystemCallArchitectures = "native";
        SystemCallFilter = "~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap";
        SystemCallErrorNumber = "EPERM";
        RestrictAddressFamilies = "AF_INET AF_INET6 AF_UNIX AF_NETLINK";
      };
    };
  };
}
