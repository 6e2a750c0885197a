// Every method of the API, as the descriptors have it. A service of a further proto is among them by itself.

import { type DescMethod, type DescService, getOption, hasOption } from "@bufbuild/protobuf";
import { type GenFile } from "@bufbuild/protobuf/codegenv2";
import { access, type Access, Role } from "../../../api/generated/marquee/v1/rules_pb.ts";
import { nameOf } from "./method-names.ts";

const FILES = import.meta.glob<Record<string, unknown>>("../../../api/generated/marquee/v1/*_pb.ts", { eager: true });

function isFile(found: unknown): found is GenFile {
  return typeof found === "object" && found !== null && "kind" in found && found.kind === "file";
}

/** All services by name. */
export const SERVICES: readonly DescService[] = Object.values(FILES)
  .flatMap((module) => Object.values(module).filter(isFile))
  .flatMap(({ services }) => services)
  .sort((one, other) => one.name.localeCompare(other.name, "en"));

export const METHODS: readonly DescMethod[] = SERVICES.flatMap(({ methods }) => methods);

export function methodNamed(name: string | null): DescMethod | undefined {
  return METHODS.find((method) => nameOf(method) === name);
}

/** Who may call a method, where the server asks. */
export function accessOf(method: DescMethod): Access | undefined {
  return hasOption(method, access) ? getOption(method, access) : undefined;
}

/** The roles that come with the server, the least first. */
export const ROLES = [
  { role: Role.VIEWER, name: "viewer" },
  { role: Role.RECOMMENDER, name: "recommender" },
  { role: Role.WRITER, name: "writer" },
  { role: Role.OPERATOR, name: "operator" },
  { role: Role.ADMIN, name: "admin" },
] as const;
