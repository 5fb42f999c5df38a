# The same versions as everywhere: uv2nix makes Nix packages of what uv.lock names, from the locked wheels.
#
#     nix develop     a shell with Python, every dependency group and uv; there is no .venv
#     nix run         the app from the Nix store, its data in ~/.local/share/kindling
#     nix flake check imports and quick tests, each in a sandbox
#
# On NixOS, `nixosModules.default` makes it a service.
{
  description = "A local-first full-stack starter: FastHTML, htmx 4, Uvicorn and one SQLite file";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    pyproject-nix = {
      url = "github:pyproject-nix/pyproject.nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    uv2nix = {
      url = "github:pyproject-nix/uv2nix";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.pyproject-nix.follows = "pyproject-nix";
    };
    # What builds a dependency that has no wheel. None needs it today.
    pyproject-build-systems = {
      url = "github:pyproject-nix/build-system-pkgs";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.pyproject-nix.follows = "pyproject-nix";
      inputs.uv2nix.follows = "uv2nix";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      pyproject-nix,
      uv2nix,
      pyproject-build-systems,
    }:
    let
      inherit (nixpkgs) lib;
      inherit (builtins.fromTOML (builtins.readFile ./pyproject.toml)) project;
      # Of each environment variable.
      prefix = "${lib.toUpper (builtins.replaceStrings [ "-" ] [ "_" ] project.name)}_";
      # The oldest Python that will do, such as 3.11.
      oldestPython = builtins.head (builtins.match ">=([0-9.]+).*" project.requires-python);
      workspace = uv2nix.lib.workspace.loadWorkspace { workspaceRoot = ./.; };

      # What `nix run` needs of the project; an edit elsewhere builds nothing anew.
      source = lib.fileset.toSource {
        root = ./.;
        fileset = lib.fileset.unions [
          ./app
          ./pyproject.toml
          ./server
          ./server.py
          ./static
          ./templates
          ./uv.lock
        ];
      };

      # The attributes of each system, from its parts.
      forAllSystems =
        attributes:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] (
          system: attributes (warned (partsFor nixpkgs.legacyPackages.${system}))
        );

      # Git leaves `data` out; where it is here all the same, git was not asked.
      warned = lib.warnIf (builtins.pathExists ./data) (
        "data/ was copied into the Nix store, which every account of this machine can read, with all that is kept in "
        + "it: make a repository of this directory (`git init && git add -A`), delete the copy (`nix store gc`), and "
        + "sign everybody out (`python3 server.py token --new`)."
      );

      partsFor =
        pkgs:
        let
          # The Python of nixpkgs, for which most is built already, unless pyproject.toml asks for a newer one.
          python =
            if lib.versionAtLeast pkgs.python3.pythonVersion oldestPython then
              pkgs.python3
            else
              pkgs."python${builtins.replaceStrings [ "." ] [ "" ] oldestPython}";
          base = pkgs.callPackage pyproject-nix.build.packages { inherit python; };
          pythonSet = base.overrideScope (
            lib.composeManyExtensions [
              pyproject-build-systems.overlays.wheel
              (workspace.mkPyprojectOverlay { sourcePreference = "wheel"; })
            ]
          );
          runs = pythonSet.mkVirtualEnv "${project.name}-env" workspace.deps.default;
          develops = pythonSet.mkVirtualEnv "${project.name}-dev-env" workspace.deps.all;

          # Compiled here, as Python cannot keep what it compiles in the store. The store has no times to compare.
          code = pkgs.runCommand "${project.name}-code" { } ''
            cp -r --no-preserve=mode ${source} $out
            ${runs}/bin/python -m compileall -q --invalidation-mode unchecked-hash $out
          '';

          program = pkgs.writeShellApplication {
            inherit (project) name;
            text = ''
              : "''${${prefix}DATA:=''${XDG_DATA_HOME:-$HOME/.local/share}/${project.name}}"
              export ${prefix}DATA
              export ${prefix}RELOAD=0 # what lies in the store never changes
              exec ${runs}/bin/python ${code}/server.py "$@"
            '';
            meta = {
              inherit (project) description;
              mainProgram = project.name;
            };
          };
        in
        {
          inherit pkgs runs develops code program;
        };
    in
    {
      devShells = forAllSystems (
        { pkgs, develops, ... }:
        {
          default = pkgs.mkShell {
            packages = [
              develops
              pkgs.git
              pkgs.uv
            ]
            # What drives the tests in a browser. nixpkgs has none for macOS, where the one of the system does.
            ++ lib.optional pkgs.stdenv.hostPlatform.isLinux pkgs.chromium;
            env = {
              # uv locks and runs; only Nix installs.
              UV_NO_SYNC = "1";
              UV_PROJECT_ENVIRONMENT = "${develops}";
              UV_PYTHON_DOWNLOADS = "never";
            };
            shellHook = ''
              unset PYTHONPATH VIRTUAL_ENV
            '';
          };
        }
      );

      packages = forAllSystems ({ program, ... }: { default = program; });

      # As in docs/running.md: it writes its data and nothing else.
      nixosModules.default =
        { config, pkgs, ... }:
        let
          service = config.services.${project.name};
          inherit (service) settings;
          written =
            value: if builtins.isBool value then (if value then "1" else "0") else builtins.toString value;
          variable = name: prefix + lib.toUpper (builtins.replaceStrings [ "-" ] [ "_" ] name);
          listensToOthers = !(builtins.elem (settings.host or "127.0.0.1") [ "127.0.0.1" "::1" "localhost" ]);
        in
        {
          options.services.${project.name} = {
            enable = lib.mkEnableOption project.description;
            package = lib.mkOption {
              type = lib.types.package;
              default = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
              defaultText = "the package of the flake";
              description = "What is run.";
            };
            settings = lib.mkOption {
              type =
                with lib.types;
                attrsOf (oneOf [
                  bool
                  int
                  str
                  (listOf str)
                ]);
              default = { };
              example = {
                allow-host = [ "app.example.org" ];
                proxy-headers = true;
              };
              description = "The options of `python3 server.py run`, without the dashes before them.";
            };
          };

          config = lib.mkIf service.enable {
            users.users.${project.name} = {
              isSystemUser = true;
              group = project.name;
              home = "/var/lib/${project.name}";
            };
            users.groups.${project.name} = { };
            # The commands beside `run`: sudo -u ACCOUNT, with --data.
            environment.systemPackages = [ service.package ];
            systemd.services.${project.name} = {
              inherit (project) description;
              wantedBy = [ "multi-user.target" ];
              after = [ "network.target" ];
              environment = {
                "${prefix}DATA" = "/var/lib/${project.name}";
                "${prefix}OPEN" = "0";
                "${prefix}LOG_FORMAT" = "json";
              }
              // lib.mapAttrs' (name: value: lib.nameValuePair (variable name) (written value)) settings;
              serviceConfig = {
                User = project.name;
                Group = project.name;
                ExecStart = lib.getExe service.package;
                StateDirectory = project.name;
                StateDirectoryMode = "0700";
                UMask = "0077";
                KillMode = "mixed";
                TimeoutStopSec = 10;
                Restart = "on-failure";
                ProtectSystem = "strict";
                ProtectHome = true;
                PrivateTmp = true;
                PrivateDevices = true;
                NoNewPrivileges = true;
                CapabilityBoundingSet = "";
                AmbientCapabilities = "";
                RestrictAddressFamilies = "AF_INET AF_INET6 AF_UNIX AF_NETLINK";
                SystemCallArchitectures = "native";
                SystemCallFilter = [
                  "@system-service"
                  "~@privileged"
                ];
                SystemCallErrorNumber = "EPERM";
                MemoryDenyWriteExecute = true;
                LockPersonality = true;
                RestrictRealtime = true;
                RestrictSUIDSGID = true;
                RestrictNamespaces = true;
                RemoveIPC = true;
                ProtectClock = true;
                ProtectControlGroups = true;
                ProtectHostname = true;
                ProtectKernelLogs = true;
                ProtectKernelModules = true;
                ProtectKernelTunables = true;
                ProtectProc = "invisible";
                ProcSubset = "pid";
              }
              // lib.optionalAttrs (!listensToOthers) {
                IPAddressDeny = "any";
                IPAddressAllow = "localhost";
              };
            };
          };
        };

      checks = forAllSystems (
        {
          pkgs,
          runs,
          develops,
          code,
          ...
        }:
        {
          imports = pkgs.runCommand "${project.name}-imports" { } ''
            cd ${code}
            ${prefix}DATA=$TMPDIR/data ${runs}/bin/python -c "import app.main, server.commands.cli, server.run"
            touch $out
          '';

          # Without those that need what no sandbox has: a package registry, a browser, Nix.
          tests =
            pkgs.runCommand "${project.name}-tests"
              {
                nativeBuildInputs = [
                  develops
                  pkgs.git
                ];
                __darwinAllowLocalNetworking = true;
              }
              ''
                cp -r ${self} project
                chmod -R u+w project
                cd project
                export HOME=$TMPDIR
                python3 server.py test
                python -m pytest tests/engine/app tests/engine/server tests/engine/templates
                touch $out
              '';
        }
      );

      formatter = forAllSystems ({ pkgs, ... }: pkgs.nixfmt-tree);

      templates.default = {
        path = ./.;
        inherit (project) description;
        welcomeText = ''
          # ${project.description}

          First make a repository of it, before there are data: `git init && git add -A && git commit -m Begun`

          Of a directory that git does not know Nix copies everything into its store, which every account of the machine
          can read: data, session key and `.venv` too. Of a repository it takes the files that git knows.

          Then `nix develop`, and in it `python3 server.py`.
        '';
      };
    };
}
