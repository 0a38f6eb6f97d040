/** The component library in the console's colours; loaded only with the pages that use it. */
import ConfigProvider from "antd/es/config-provider";
import en from "antd/es/locale/en_US";
import zh from "antd/es/locale/zh_CN";
import theme from "antd/es/theme";
import type { ReactNode } from "react";
import { useTexts } from "../i18n";

const look = {
  algorithm: [theme.darkAlgorithm, theme.compactAlgorithm],
  token: {
    colorPrimary: "#3aa7ea",
    colorBgBase: "#0a0e13",
    colorBgContainer: "#0e141b",
    colorBgElevated: "#141c26",
    colorBorder: "#253140",
    colorBorderSecondary: "#1a2330",
    colorText: "#d9e1ea",
    colorTextDisabled: "#8394a7", // what an empty list says
    borderRadius: 4,
    fontFamily: "inherit",
    motion: false,
  },
};

export function Antd({ children }: { children: ReactNode }) {
  const { language } = useTexts();
  return (
    <ConfigProvider theme={look} locale={language === "zh" ? zh : en}>
      {children}
    </ConfigProvider>
  );
}
